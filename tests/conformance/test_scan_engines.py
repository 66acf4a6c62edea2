"""clamd passes the suite of scan engines, over TCP and over a Unix socket."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from media_service.errors import Reason, Unavailable
from media_service.media.model import ScanState
from media_service.scanning.conformance import PIECE, Content, EngineConformance, Samples, content
from media_service.scanning.engine import ScanEngine, UnsafeEngine
from media_service.scanning.engines import clamd as driver
from media_service.scanning.engines import open_engine
from tests.support.clamd import EICAR, FILE_MAX, STREAM_MAX, THREAT, Clamd, running_clamd
from tests.support.ports import free_port


class TestClamd(EngineConformance):
    @pytest.fixture(params=["tcp", "unix"])
    def engine(self, clamd: Clamd, request: pytest.FixtureRequest) -> ScanEngine:
        return open_engine(getattr(clamd, request.param))

    @pytest.fixture(params=["tcp", "unix"])
    def away(self, request: pytest.FixtureRequest) -> ScanEngine:
        urls = {"tcp": f"clamd://127.0.0.1:{free_port()}", "unix": "clamd:///nowhere/clamd.sock"}
        return open_engine(urls[request.param])

    @pytest.fixture
    def samples(self) -> Samples:
        return Samples(EICAR, THREAT, too_large=STREAM_MAX, unscanned=FILE_MAX)


@pytest.mark.parametrize(
    "url",
    [
        *("clamd://", "clamd://host:port", "clamd://host/path", "clamd:///", "clamd:///s?x=1"),
        *("tcp://host:3310", "3310", "clamd://host:99999", "clamd://user@host"),
    ],
)
def test_an_invalid_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="a URL "):
        open_engine(url)


async def test_a_clamd_that_calls_clean_what_it_does_not_scan_is_unsafe() -> None:
    with running_clamd(AlertExceedsMax="no") as clamd:
        engine = open_engine(clamd.tcp)
        oversized = content(*[b"x" * PIECE] * (FILE_MAX // PIECE + 1), EICAR)
        assert (await engine.scan(oversized)).state is ScanState.CLEAN  # hence the probe
        with pytest.raises(UnsafeEngine, match="AlertExceedsMax yes"):
            await engine.probe()


# Servers that do not behave as clamd does.

Behave = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def scanner_that(behave: Behave) -> AsyncIterator[ScanEngine]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await behave(reader, writer)
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield open_engine(f"clamd://127.0.0.1:{port}")


def answering(answer: bytes) -> Behave:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not (await reader.read(PIECE)).endswith(bytes(4)):
            pass
        writer.write(answer)
        await writer.drain()

    return behave


@pytest.mark.parametrize(
    "answer",
    [
        *(
            b"",
            b"stream: OK",
            b"\0",
            b"OK\0",
            b"stream: FOUND\0",
            b"stream: lstat() failed ERROR\0",
        ),
        *(b"UNKNOWN COMMAND\0", b"x" * 100_000),
    ],
)
async def test_any_other_answer_is_a_failed_scan(answer: bytes) -> None:
    async with scanner_that(answering(answer)) as engine:
        with pytest.raises(Unavailable) as caught:
            await engine.scan(content(b"hello"))
        assert caught.value.reason is Reason.SCAN_FAILED


async def test_content_that_was_not_sent_in_full_is_not_clean() -> None:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(PIECE)
        writer.write(b"stream: OK\0")
        await writer.drain()

    async with scanner_that(behave) as engine:
        source = Content([b"x" * PIECE] * 1000)
        with pytest.raises(Unavailable) as caught:
            await engine.scan(aiter(source))
        assert caught.value.reason is Reason.SCAN_FAILED
        assert source.read < 1000


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(PIECE):
        pass


async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(5)


@pytest.mark.parametrize("behave", [silent, deaf])
async def test_every_wait_has_a_limit(behave: Behave, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SEND_SECONDS", "RESULT_SECONDS", "COMMAND_SECONDS"):
        monkeypatch.setattr(driver, name, 0.1)
    async with scanner_that(behave) as engine:
        with pytest.raises(Unavailable) as caught:
            await engine.scan(content(*[b"x" * PIECE] * 200))
        assert caught.value.reason is Reason.SCAN_FAILED
        with pytest.raises(Unavailable) as caught:
            await engine.version()
        assert caught.value.reason is Reason.SCAN_UNAVAILABLE


async def test_content_beyond_what_clamd_can_scan_is_not_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(driver, "MAX_BYTES", 10 * PIECE)
    async with scanner_that(silent) as engine:
        source = Content([b"x" * PIECE] * 1000)
        assert (await engine.scan(aiter(source))).state is ScanState.TOO_LARGE
        assert source.read == 11
