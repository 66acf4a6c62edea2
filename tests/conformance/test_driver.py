"""Our own drivers pass the suite for all drivers."""

from media_service.storage.conformance import DriverConformance


class TestDrivers(DriverConformance):
    """Each driver in turn: see `open_driver` in conftest.py."""
