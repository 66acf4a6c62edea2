"""Fixtures of the matrix."""

from collections.abc import AsyncIterator
from contextlib import nullcontext

import pytest

from media_service.codecs.sandbox.forks import ForkServer
from tests.matrix.running import Matrix, running_matrix
from tests.support.databases import CleanDatabases


@pytest.fixture(scope="module")
async def matrix(
    databases: CleanDatabases, tmp_path_factory: pytest.TempPathFactory, fork_server: ForkServer
) -> AsyncIterator[Matrix]:
    folder = tmp_path_factory.mktemp("matrix")
    with databases.take() as url:
        async with running_matrix(url, folder, nullcontext(fork_server)) as matrix:
            yield matrix
