"""The complete suite."""

from media_service.storage.conformance.abort import AbortTests
from media_service.storage.conformance.completion import CompletionTests
from media_service.storage.conformance.copying import CopyTests
from media_service.storage.conformance.fixtures import OpenDriver
from media_service.storage.conformance.listing import ListTests
from media_service.storage.conformance.marker import MarkerTests
from media_service.storage.conformance.parts import PartTests
from media_service.storage.conformance.reading import ReadTests
from media_service.storage.conformance.succession import SuccessionTests
from media_service.storage.conformance.writing import WriteTests

__all__ = ["DriverConformance", "OpenDriver"]


class DriverConformance(
    PartTests,
    CompletionTests,
    AbortTests,
    ReadTests,
    ListTests,
    WriteTests,
    SuccessionTests,
    CopyTests,
    MarkerTests,
):
    """Tests every promise of `media_service.storage.driver`. Needs the fixture `open_driver`."""
