"""Tests that every scan engine must pass. They need the extra `media-service[conformance]`.

An engine's own tests subclass `EngineConformance` and supply the fixtures `engine`, `away` and
`samples`.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

import pytest

from media_service.errors import Reason, Unavailable
from media_service.media.model import ScanState
from media_service.scanning.engine import Finding, ScanEngine

PIECE = 64 << 10


@dataclass(frozen=True)
class Samples:
    """`infected`: content in which the engine finds `threat`. `too_large`: a size that the engine
    does not accept. `unscanned`: a smaller one, which it accepts and does not scan in full."""

    infected: bytes
    threat: str
    too_large: int
    unscanned: int


@dataclass
class Content:
    """Content in pieces. `read`: how many pieces the engine has asked for."""

    pieces: Sequence[bytes]
    error: Exception | None = None
    read: int = 0

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        for piece in self.pieces:
            self.read += 1
            yield piece
        if self.error:
            raise self.error


def content(*pieces: bytes) -> AsyncGenerator[bytes, None]:
    return aiter(Content(pieces))


CLEAN = Finding(ScanState.CLEAN)
TOO_LARGE = Finding(ScanState.TOO_LARGE)


class EngineConformance:
    """`engine` can be used; `away` is one that nobody answers for."""

    @pytest.fixture
    def engine(self) -> ScanEngine:
        raise NotImplementedError

    async def test_clean_content_is_clean(self, engine: ScanEngine) -> None:
        assert await engine.scan(content(b"hello")) == CLEAN
        assert await engine.scan(content(b"h" * PIECE, b"e" * PIECE, b"llo")) == CLEAN

    async def test_a_threat_is_named(self, engine: ScanEngine, samples: Samples) -> None:
        expected = Finding(ScanState.INFECTED, samples.threat)
        assert await engine.scan(content(samples.infected)) == expected
        assert await engine.scan(content(b"x" * PIECE, samples.infected)) == expected

    async def test_a_threat_is_found_across_pieces_of_any_size(
        self, engine: ScanEngine, samples: Samples
    ) -> None:
        data = samples.infected
        for cut in (1, len(data) // 2, len(data) - 1):
            found = await engine.scan(content(data[:cut], b"", data[cut:]))
            assert found.state is ScanState.INFECTED
        every_byte = (data[at : at + 1] for at in range(len(data)))
        assert (await engine.scan(content(*every_byte))).state is ScanState.INFECTED

    async def test_empty_pieces_and_empty_content_are_clean(self, engine: ScanEngine) -> None:
        assert await engine.scan(content()) == CLEAN
        assert await engine.scan(content(b"", b"hello", b"")) == CLEAN

    async def test_content_that_the_engine_does_not_accept_is_too_large(
        self, engine: ScanEngine, samples: Samples
    ) -> None:
        source = Content([b"x" * PIECE] * (10 * samples.too_large // PIECE))
        assert await engine.scan(aiter(source)) == TOO_LARGE
        assert source.read < len(source.pieces)

    async def test_a_threat_in_what_is_not_scanned_is_never_clean(
        self, engine: ScanEngine, samples: Samples
    ) -> None:
        for size in (samples.unscanned, samples.too_large):
            pieces = [b"x" * PIECE] * (size // PIECE + 1)
            assert await engine.scan(content(*pieces, samples.infected)) != CLEAN

    async def test_an_error_of_the_content_ends_the_scan(self, engine: ScanEngine) -> None:
        with pytest.raises(ZeroDivisionError):
            await engine.scan(aiter(Content([b"x" * PIECE], ZeroDivisionError())))
        assert await engine.scan(content(b"hello")) == CLEAN

    async def test_a_cancelled_scan_leaves_the_engine_usable(self, engine: ScanEngine) -> None:
        async def endless() -> AsyncGenerator[bytes, None]:
            yield b"x" * PIECE
            await asyncio.Event().wait()

        scans = [asyncio.create_task(engine.scan(endless())) for _ in range(20)]
        await asyncio.sleep(0.05)
        for scan in scans:
            scan.cancel()
        await asyncio.wait(scans)
        assert await engine.scan(content(b"hello")) == CLEAN

    async def test_concurrent_scans_get_their_own_findings(
        self, engine: ScanEngine, samples: Samples
    ) -> None:
        scans = [
            engine.scan(content(b"x" * n, samples.infected if n % 3 else b"")) for n in range(40)
        ]
        states = [found.state for found in await asyncio.gather(*scans)]
        expected = [ScanState.INFECTED if n % 3 else ScanState.CLEAN for n in range(40)]
        assert states == expected

    async def test_the_version_stays_the_same(self, engine: ScanEngine) -> None:
        version = await engine.version()
        assert version == version.strip() != ""
        assert await engine.version() == version

    async def test_the_probe_passes(self, engine: ScanEngine) -> None:
        for _ in range(2):
            await engine.probe()

    async def test_an_engine_that_is_away_is_unavailable(self, away: ScanEngine) -> None:
        for call in (away.scan(content(b"hello")), away.version(), away.probe()):
            with pytest.raises(Unavailable) as caught:
                await call
            assert caught.value.reason is Reason.SCAN_UNAVAILABLE
