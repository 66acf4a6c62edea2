"""A store that is not there looks like an empty one: an unmounted disk, another bucket. So every
store has a marker, a small blob with an id that the database knows, too."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from pathlib import Path

from media_service.errors import DataLoss, Reason, Unavailable
from media_service.storage.buffer import Buffer
from media_service.storage.driver import (
    Driver,
    ExpectedRange,
    ObjectInfo,
    OpenBlob,
    PartLimits,
    PartName,
    PartWriter,
    SignedRequest,
    StoredPart,
)
from media_service.storage.piece_size import PieceSize

KEY = "store-id"
# The length of an id.
SIZE = 36


async def read_marker(driver: Driver) -> str:
    """The id in the store, or nothing if it has no marker. Raises Unavailable."""
    try:
        pieces = [piece async for piece in driver.read(KEY, 0, SIZE, SIZE)]
    except DataLoss:
        return ""
    return b"".join(pieces).decode(errors="replace")


async def write_marker(driver: Driver, marker: str) -> None:
    await driver.put(KEY, marker.encode())


def wrong_marker(found: str) -> Unavailable:
    what = f"has the marker {found} of another store" if found else "has no marker"
    return Unavailable(Reason.STORAGE_UNAVAILABLE, f"The storage is not in place: it {what}.")


class MarkedDriver:
    """Passes every call to `inner`. A missing blob is an outage, which may end, unless the store
    has the marker. `identify` checks the store and returns its marker. It raises Unavailable if
    this is another store, or if that is not known yet. It is called before the first use, and after
    the store turned out to be another one: nothing is accepted until the right one is back."""

    def __init__(self, inner: Driver, identify: Callable[[], Awaitable[str]]) -> None:
        self.inner = inner
        self._identify = identify
        self._marker = ""

    async def identified(self) -> str:
        """The marker of the store. Raises Unavailable."""
        if not self._marker:
            self._marker = await self._identify()
        return self._marker

    async def check_marker(self) -> None:
        """Raises Unavailable unless the store has the marker."""
        marker = await self.identified()
        if (found := await read_marker(self.inner)) != marker:
            self._marker = ""
            raise wrong_marker(found)

    @asynccontextmanager
    async def _in_place(self) -> AsyncIterator[None]:
        await self.identified()
        try:
            yield
        except DataLoss:
            await self.check_marker()
            raise

    @property
    def limits(self) -> PartLimits:
        return self.inner.limits

    def overlaps(self, other: Driver) -> bool:
        return self.inner.overlaps(unmarked(other))

    async def check(self) -> None:
        await self.check_marker()
        await self.inner.check()

    async def guard(self, key: str) -> None:
        await self.inner.guard(key)

    async def put(self, key: str, data: Buffer, content_type: str = "") -> None:
        async with self._in_place():
            await self.inner.put(key, data, content_type)

    async def copy(
        self, source: Driver, source_key: str, key: str, size: int, content_type: str
    ) -> bool:
        await self.identified()
        try:
            return await self.inner.copy(unmarked(source), source_key, key, size, content_type)
        except DataLoss:
            await self.check_marker()
            if isinstance(source, MarkedDriver):
                await source.check_marker()
            raise

    async def begin(self, key: str, content_type: str = "") -> str:
        async with self._in_place():
            return await self.inner.begin(key, content_type)

    async def supersede(self, key: str, session: str, next_number: int) -> str:
        async with self._in_place():
            return await self.inner.supersede(key, session, next_number)

    async def abort_unused(self, key: str, session: str, kept: str) -> None:
        await self.identified()
        await self.inner.abort_unused(key, session, kept)

    async def open_part(
        self, key: str, session: str, name: PartName, expected: ExpectedRange | None = None
    ) -> PartWriter:
        async with self._in_place():
            return await self.inner.open_part(key, session, name, expected)

    async def remove_part(self, key: str, session: str, name: PartName) -> None:
        await self.identified()
        await self.inner.remove_part(key, session, name)

    async def sign_part(
        self, key: str, session: str, name: PartName, size: int, crc32c: int, ttl: timedelta
    ) -> SignedRequest | None:
        async with self._in_place():
            return await self.inner.sign_part(key, session, name, size, crc32c, ttl)

    async def stored_parts(
        self, key: str, session: str, names: Sequence[PartName]
    ) -> dict[PartName, tuple[int, int]]:
        await self.identified()
        found = await self.inner.stored_parts(key, session, names)
        if len(found) < len(names):
            await self.check_marker()
        return found

    async def sign_read(
        self, key: str, ttl: timedelta, content_type: str, disposition: str
    ) -> str | None:
        await self.identified()
        return await self.inner.sign_read(key, ttl, content_type, disposition)

    async def complete(self, key: str, session: str, parts: Sequence[StoredPart]) -> None:
        async with self._in_place():
            await self.inner.complete(key, session, parts)

    async def abort(self, key: str, session: str) -> None:
        await self.identified()
        await self.inner.abort(key, session)

    async def read(
        self, key: str, offset: int, length: int, piece_size: PieceSize
    ) -> AsyncGenerator[bytes, None]:
        async with (
            self._in_place(),
            aclosing(self.inner.read(key, offset, length, piece_size)) as pieces,
        ):
            async for piece in pieces:
                held = [piece]  # a name would keep the piece that it yields
                del piece
                yield held.pop()

    async def stat(self, key: str) -> ObjectInfo | None:
        await self.identified()
        found = await self.inner.stat(key)
        if found is None:
            await self.check_marker()
        return found

    async def delete(self, key: str) -> None:
        await self.identified()
        await self.inner.delete(key)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        await self.identified()
        async for info in self.inner.list(prefix):
            if info.key != KEY:
                yield info

    async def list_open(self) -> AsyncIterator[OpenBlob]:
        await self.identified()
        async for blob in self.inner.list_open():
            yield blob

    def local_path(self, key: str) -> Path | None:
        return self.inner.local_path(key)

    async def close(self) -> None:
        await self.inner.close()


def unmarked(driver: Driver) -> Driver:
    """The driver itself: drivers recognize others of their kind by the class."""
    return driver.inner if isinstance(driver, MarkedDriver) else driver
