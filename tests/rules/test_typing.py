"""Tests are type-checked strictly, without exceptions."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_no_tests_are_excluded_from_type_checking() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"]
    excluded = [
        name
        for override in settings
        if override.get("ignore_errors")
        for name in override["module"]
        if name.startswith("tests.")
    ]
    assert excluded == []
