"""The recipes of docs/contributing.md apply to the current code."""

import pytest

from tests.support.recipes import ROOT, apply, recipes

RECIPES = recipes((ROOT / "docs" / "contributing.md").read_text())


def test_every_kind_of_extension_has_a_recipe() -> None:
    assert list(RECIPES) == [
        "An operation",
        "A store",
        "A reason of errors",
        "An RPC",
        "A periodic task",
        "A job handler",
        "A reference to blobs",
        "A column that names people",
    ]


@pytest.mark.parametrize("title", list(RECIPES))
def test_a_recipe_applies(title: str) -> None:
    changed = dict(apply(RECIPES[title]))
    assert changed
    for path, text in changed.items():
        if path.endswith(".py"):
            compile(text, path, "exec")


def test_a_hunk_must_match_exactly_one_place() -> None:
    for page in ("+new\n old\n", " is not there\n+new\n"):
        with pytest.raises(ValueError, match="does not match exactly once"):
            list(apply(f"--- pyproject.toml\n{page}"))
