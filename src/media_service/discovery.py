"""Finds parts of the service by the names of their modules, so that no list of them is needed."""

import inspect
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TypeVar

ROOT = Path(__file__).parent
T = TypeVar("T")


def find_modules(name: str) -> Iterator[ModuleType]:
    """Imports, in the order of their paths, every module of the service with this name, and every
    module in a package with this name."""
    for file in sorted([*ROOT.rglob(f"{name}.py"), *ROOT.rglob(f"{name}/*.py")]):
        if file.name != "__init__.py":
            path = file.relative_to(ROOT).with_suffix("").parts
            yield import_module(".".join((ROOT.name, *path)))


def call_with(function: Callable[..., T], resources: object) -> T:
    """Calls a function with those attributes of `resources` that its parameters name."""
    names = inspect.signature(function).parameters
    return function(**{name: getattr(resources, name) for name in names})
