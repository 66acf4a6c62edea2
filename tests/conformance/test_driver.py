"""Our own drivers pass the conformance suite."""

import pytest

from media_service.storage.conformance import DriverConformance


class TestDrivers(DriverConformance):
    """Runs the suite for each driver of the fixture `open_driver`."""

    @pytest.fixture
    def rounds(self, request: pytest.FixtureRequest) -> int:
        """Fewer on servers, where a round is slow."""
        driver = request.node.callspec.params["open_driver"]
        return 5 if driver in {"s3", "seaweed", "gcs"} else 20
