"""Finds the operations of a package. Each operation is a module with the same name."""

import importlib
import pkgutil
from collections.abc import Mapping
from types import ModuleType


def discover(package: ModuleType) -> Mapping[str, ModuleType]:
    """Imports every module of `package`. Returns the modules by name."""
    return {
        module.name: importlib.import_module(f"{package.__name__}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
    }
