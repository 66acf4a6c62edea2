"""The storage backends. Each one is a module or package here and is discovered automatically.

A backend defines `SCHEME`, the scheme of its URLs, and `open_driver(url)`, which raises ValueError
for an invalid URL. Importing a backend is cheap: it imports its SDK only when it opens a driver.
"""

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import Protocol, cast
from urllib.parse import urlsplit

from media_service.storage.driver import Driver


class Backend(Protocol):
    SCHEME: str

    def open_driver(self, url: str) -> Driver: ...


def backends() -> Mapping[str, Backend]:
    """The backends by scheme."""
    modules = [
        import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)
    ]
    return {module.SCHEME: cast(Backend, module) for module in modules}


def open_driver(url: str) -> Driver:
    """Opens the store at `url`. Raises ValueError; its message completes the sentence "the setting
    must be ..."."""
    known = backends()
    backend = known.get(urlsplit(url).scheme)
    if backend is None:
        schemes = ", ".join(f"{scheme}://" for scheme in sorted(known))
        raise ValueError(f"a URL that begins with one of {schemes}")
    return backend.open_driver(url)
