"""A whole service that can be struck by SIGKILL, and started again on the same data."""

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
