"""Invariants of every failpoint."""

import ast
from collections import Counter
from pathlib import Path

import pytest

from media_service.failpoints import NAMES, REGISTRY, trap
from tests.support.crash.report import DOCUMENT, between, promises

SOURCES = Path(__file__).parents[2] / "src"


def placed() -> list[str]:
    """The name of every failpoint in the sources."""
    return [
        ast.literal_eval(node.args[0])
        for path in SOURCES.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "failpoint"
    ]


def test_every_failpoint_occurs_once_and_has_a_promise() -> None:
    assert Counter(placed()) == Counter(failpoint.name for failpoint in REGISTRY)
    assert all(failpoint.promise and failpoint.where for failpoint in REGISTRY)
    assert {failpoint.process for failpoint in REGISTRY} == {"serve", "work"}


def test_the_docs_list_the_promises_of_all_failpoints() -> None:
    _, documented, _ = between(DOCUMENT.read_text(), "promises")
    assert documented == promises(), "run: python -m tests.support.crash.report"


@pytest.mark.parametrize("setting", ["", "nowhere", "@2", "s3.part.after@", "s3.part.after@0"])
def test_an_invalid_failpoint_setting_is_refused(setting: str) -> None:
    with pytest.raises(ValueError, match="name of a failpoint"):
        trap(setting)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_failpoint_does_not_fire_before_its_count(name: str) -> None:
    armed = trap(f"{name}@2")
    armed.hit(name)
    for other in NAMES - {name}:
        armed.hit(other)
