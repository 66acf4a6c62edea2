"""Any sequence of writes, syncs, seals and crashes, and blobs stored in one call."""

import asyncio
from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media_service.storage.conformance.blobs import content, keys
from media_service.storage.conformance.fixtures import DriverFixtures
from media_service.storage.driver import Driver, PartName, PartWriter, StoredPart

MANY_EXAMPLES = settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


ACTIONS = st.lists(
    st.one_of(st.binary(min_size=1, max_size=200), st.sampled_from(["sync", "seal", "crash"])),
    max_size=25,
)


class History:
    """A sequence of writers. Bytes are counted once a sync or seal reports them as durable."""

    def __init__(self, driver: Driver, key: str, session: str) -> None:
        self.parts: list[StoredPart] = []
        self.dead: list[PartWriter] = []
        self.counted = b""
        self._driver, self._key, self._session = driver, key, session
        self._writer: PartWriter | None = None
        self._name = PartName(1, 1)
        self._written, self._durable = b"", 0

    async def act(self, action: bytes | str) -> None:
        if isinstance(action, bytes):
            await self.write(action)
        elif self._writer is not None:
            await {"sync": self.sync, "seal": self.seal, "crash": self.crash}[action](self._writer)

    async def write(self, data: bytes) -> None:
        if self._writer is None:
            self._writer = await self._driver.open_part(self._key, self._session, self._name)
        await self._writer.write([data[:7], data[7:]])
        self._written += data

    async def sync(self, writer: PartWriter) -> None:
        self._durable = await writer.sync()
        assert self._durable in {0, len(self._written)}

    async def seal(self, writer: PartWriter, *, last: bool = False) -> None:
        if last or len(self._written) >= self._driver.limits.min_part_size:
            await writer.seal()
            self._durable = len(self._written)
            self._count(sealed=True)

    async def crash(self, writer: PartWriter) -> None:
        self.dead.append(writer)
        self._count(sealed=False)

    async def end(self) -> None:
        await self.write(b"the end")
        assert self._writer is not None
        await self.seal(self._writer, last=True)

    def _count(self, *, sealed: bool) -> None:
        if self._durable:
            self.parts.append(StoredPart(self._name, self._durable, sealed))
        self.counted += self._written[: self._durable]
        self._writer, self._written, self._durable = None, b"", 0
        self._name = PartName(len(self.parts) + 1, self._name.epoch + 1)


class WriteTests(DriverFixtures):
    @MANY_EXAMPLES
    @given(actions=ACTIONS, completes=st.integers(1, 3))
    async def test_the_blob_is_exactly_the_counted_bytes(
        self,
        driver: Driver,
        fresh_key: Callable[[], str],
        actions: list[bytes | str],
        completes: int,
    ) -> None:
        key = fresh_key()
        session = await driver.begin(key)
        history = History(driver, key, session)
        for action in actions:
            await history.act(action)
        await history.end()
        for _ in range(completes):
            await driver.complete(key, session, history.parts)
        for late in history.dead:
            await late.write([b"too late"])
            await late.discard()
        assert await content(driver, key) == history.counted

    async def test_put_stores_a_blob_and_is_idempotent(self, driver: Driver, key: str) -> None:
        await driver.put(key, b"small")
        await driver.put(key, b"small")
        assert await content(driver, key) == b"small"

    async def test_concurrent_puts_of_the_same_blob(
        self, driver: Driver, fresh_key: Callable[[], str], rounds: int
    ) -> None:
        for _ in range(rounds):
            key = fresh_key()
            await asyncio.gather(*(driver.put(key, b"small" * 1000) for _ in range(8)))
            assert await content(driver, key) == b"small" * 1000
        assert len(await keys(driver, "")) == rounds
