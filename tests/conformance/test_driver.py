"""Our own drivers pass the conformance suite."""

from media_service.storage.conformance import DriverConformance


class TestDrivers(DriverConformance):
    """Runs the suite for each driver of the fixture `open_driver`."""
