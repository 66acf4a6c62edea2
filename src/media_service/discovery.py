"""Finds parts of the service by the names of their modules, so that no list of them is needed."""

import inspect
import os
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TypeVar

ROOT = Path(__file__).parent
T = TypeVar("T")


def find_modules(name: str) -> Iterator[ModuleType]:
    """Imports, in the order of their paths, every module of the service with this name, and every
    module in a package with this name."""
    for *folders, file in files():
        if file == f"{name}.py" or (folders[-1:] == [name] and file != "__init__.py"):
            yield import_module(".".join((ROOT.name, *folders, file.removesuffix(".py"))))


@cache
def files() -> tuple[tuple[str, ...], ...]:
    """The paths of all modules. A worker looks for several names, and walks through them once."""
    found = [
        (*Path(folder).relative_to(ROOT).parts, file)
        for folder, _, names in os.walk(ROOT)
        for file in names
        if file.endswith(".py")
    ]
    return tuple(sorted(found))


def call_with(function: Callable[..., T], resources: object) -> T:
    """Calls a function with those attributes of `resources` that its parameters name."""
    names = inspect.signature(function).parameters
    return function(**{name: getattr(resources, name) for name in names})
