"""Tests are type-checked strictly."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_no_test_is_exempt_from_type_checks() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"]
    exempt = [
        name
        for override in settings
        if override.get("ignore_errors")
        for name in override["module"]
        if name.startswith("tests")
    ]
    assert exempt == []
