"""Our own drivers pass the conformance suite."""

import pytest

from media_service.storage.conformance import DriverConformance, OpenDriver
from media_service.storage.conformance.completion import CompletionTests
from media_service.storage.conformance.parts import PartTests
from media_service.storage.conformance.reading import ReadTests
from tests.support.long_form import examples

ROUNDS_ON_SERVERS = examples(3, 20)


class TestDrivers(DriverConformance):
    """Runs the suite for each driver of the fixture `open_driver`."""

    @pytest.fixture
    def rounds(self, request: pytest.FixtureRequest) -> int:
        """Fewer on servers, where a round is slow."""
        driver = request.node.callspec.params["open_driver"]
        return ROUNDS_ON_SERVERS if driver in {"s3", "seaweed", "gcs"} else 20


class TestSeaweed(PartTests, CompletionTests, ReadTests):
    """What may differ between S3 servers, on a second one."""

    @pytest.fixture
    def rounds(self) -> int:
        return ROUNDS_ON_SERVERS

    @pytest.fixture
    def open_driver(self, open_seaweed: OpenDriver) -> OpenDriver:
        return open_seaweed
