"""Finds the operations of a package: one module for each, named like the operation."""

import importlib
import pkgutil
from collections.abc import Mapping
from types import ModuleType


def discover(package: ModuleType) -> Mapping[str, ModuleType]:
    """Imports every module of `package`; returns them by name."""
    return {
        module.name: importlib.import_module(f"{package.__name__}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
    }
