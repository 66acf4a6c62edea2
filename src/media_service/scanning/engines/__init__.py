"""The scan engines. Each one is a module here and is discovered automatically.

A module defines `SCHEME`, the scheme of its URLs, and `open_engine(url)`, which raises ValueError
for an invalid URL. It does not connect.
"""

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import Protocol, cast
from urllib.parse import urlsplit

from media_service.scanning.engine import ScanEngine


class EngineModule(Protocol):
    SCHEME: str

    def open_engine(self, url: str) -> ScanEngine: ...


def engine_modules() -> Mapping[str, EngineModule]:
    """The modules by scheme."""
    modules = [
        import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)
    ]
    return {module.SCHEME: cast(EngineModule, module) for module in modules}


def open_engine(url: str) -> ScanEngine:
    """The engine at `url`. Raises ValueError; its message completes the sentence "the setting must
    be ..."."""
    known = engine_modules()
    module = known.get(urlsplit(url).scheme)
    if module is None:
        schemes = ", ".join(f"{scheme}://" for scheme in sorted(known))
        raise ValueError(f"a URL that begins with one of {schemes}")
    return module.open_engine(url)
