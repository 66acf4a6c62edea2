"""Tests that every storage driver must pass. They need the extra `media-service[conformance]`.

A driver's own tests subclass `DriverConformance` and supply one fixture:

    from pathlib import Path

    import pytest

    from media_service.storage.conformance import DriverConformance, OpenDriver


    class TestScratchDriver(DriverConformance):
        @pytest.fixture
        def open_driver(self, tmp_path: Path) -> OpenDriver:
            return lambda name: ScratchDriver(tmp_path / name)

`open_driver(name)` opens the store of that name. The same name opens the same store again, as the
next process would after a crash. Every store is empty when a test begins.
"""

import pytest

SUITES = "parts", "completion", "abort", "reading", "listing", "writing", "succession", "copying"
pytest.register_assert_rewrite(*(f"{__name__}.{suite}" for suite in SUITES))

from media_service.storage.conformance.suite import DriverConformance, OpenDriver  # noqa: E402

__all__ = ["DriverConformance", "OpenDriver"]
