"""Fixtures: one set of tests for both clients, against a real server with injected failures."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner, Result

from media_service.cli.main import cli
from media_service_client import AsyncClient, Backoff, Client
from tests.support.cli import Run
from tests.support.fake_server import Fake, new_fake, serving

QUICK = Backoff(first_seconds=0.001, ceiling_seconds=0.002, attempts=4)


class Threaded:
    """The blocking client with the methods of the asyncio client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if inspect.isgeneratorfunction(method):
            return lambda *args, **kwargs: self._each(method(*args, **kwargs))
        return lambda *args, **kwargs: asyncio.to_thread(method, *args, **kwargs)

    async def _each(self, iterator: Iterator[Any]) -> AsyncIterator[Any]:
        for item in await asyncio.to_thread(list, iterator):
            yield item


@pytest.fixture
def fake() -> Fake:
    return new_fake()


@pytest.fixture
def address(fake: Fake) -> Iterator[str]:
    with serving(fake) as address:
        yield address


@pytest.fixture
def environment(address: str, tmp_path: Path) -> dict[str, str]:
    """The variables of commands that call the fake."""
    return {"MEDIA_ADDRESS": address, "MEDIA_TOKEN": "secret", "MEDIA_DATA_DIR": str(tmp_path)}


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    def run(*arguments: object, stdin: bytes = b"", **changes: str) -> Result:
        return CliRunner(env={**environment, **changes}).invoke(
            cli, [str(argument) for argument in arguments], input=stdin
        )

    return run


@pytest.fixture(params=["sync", "async"])
async def client(request: pytest.FixtureRequest, address: str) -> AsyncIterator[AsyncClient]:
    """Each client in turn, with the methods of the asyncio client."""
    if request.param == "sync":
        with Client(address, token="secret", backoff=QUICK) as blocking:
            yield cast(AsyncClient, Threaded(blocking))
    else:
        async with AsyncClient(address, token="secret", backoff=QUICK) as asynchronous:
            yield asynchronous
