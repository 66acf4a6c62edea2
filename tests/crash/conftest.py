"""A complete service that tests can kill and restart on the same data."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.crash.machine import Machine


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    with tempfile.TemporaryDirectory(prefix="media-crash-") as folder:
        machine = Machine(Path(folder))
        try:
            yield machine
        finally:
            machine.close()
