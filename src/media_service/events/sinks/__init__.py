"""A sink per module. Its name is that of its setting: `redis` is MEDIA_EVENTS_REDIS.

Each module has `open_sink(url, addresses)`, which raises ValueError if the URL is not valid. Only
modules whose setting is set are imported, because their libraries take memory.
"""

from collections.abc import Mapping
from importlib import import_module

from media_service.events.addresses import Addresses
from media_service.events.sink import Sink


def open_sink(name: str, url: str, addresses: Addresses) -> Sink:
    """Raises ValueError if the URL is not valid."""
    opened: Sink = import_module(f"{__name__}.{name}").open_sink(url, addresses)
    return opened


def open_sinks(urls: Mapping[str, str], addresses: Addresses) -> list[Sink]:
    """The sinks with these names and URLs. Raises ValueError, which names the setting."""
    opened = []
    for name, url in urls.items():
        try:
            opened.append(open_sink(name, url, addresses))
        except ValueError as error:
            raise ValueError(f"MEDIA_EVENTS_{name.upper()}: {error}") from None
    return opened
