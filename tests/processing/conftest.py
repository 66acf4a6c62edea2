"""The inspector with its real child processes."""

from collections.abc import AsyncIterator

import pytest

from media_service.processing.inspector import Inspector


@pytest.fixture(scope="session")
async def inspector() -> AsyncIterator[Inspector]:
    async with Inspector(max_pixels=1_000_000, children=2) as inspector:
        yield inspector
