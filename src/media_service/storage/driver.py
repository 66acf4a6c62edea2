"""The interface that every storage backend implements; see `drivers`. The rest of the service uses
`BlobStore`, which is built on it.

A driver translates the errors of its backend into `errors.Unavailable` (STORAGE_UNAVAILABLE),
`errors.ResourceExhausted` (STORAGE_FULL) and `errors.DataLoss` (BLOB_MISSING).
"""

import math
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from media_service.errors import DataLoss, InvalidArgument, Reason
from media_service.storage.buffer import Buffer
from media_service.storage.piece_size import PieceSize


@dataclass(frozen=True, slots=True)
class PartLimits:
    """What a backend demands of parts, in bytes. A local disk demands nothing."""

    # The smallest size of a part that is not the last.
    min_part_size: int = 0
    # The size at which a writer starts the next part. None means one part of any size.
    target_part_size: int | None = None
    # The largest part that this service accepts, because it is held in memory. None means no limit.
    max_part_size: int | None = None
    # The largest part that a signed request may send. None means that none are signed.
    max_signed_part_size: int | None = None
    # Whether the backend identifies parts by number alone, so that storing a number again replaces
    # the part. The bytes of a number must then be fixed before they are stored.
    numbered: bool = False


@dataclass(frozen=True, slots=True)
class PartName:
    """Names one part of one open blob. A name is never reused, because epochs only grow. On a
    backend that ignores the epoch, no two parts of a session have the same number
    (`Driver.supersede`)."""

    number: int
    epoch: int

    @property
    def file(self) -> str:
        """The name as text, for backends that need one."""
        return f"{self.epoch}-{self.number}"


@dataclass(frozen=True, slots=True)
class ExpectedRange:
    """The range of the blob that a part will fill if all earlier parts have its size. The estimate
    may be wrong, and several parts may have the same one."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part whose first `size` bytes belong to the blob.

    `sealed` means that its writer has closed the part, so its bytes can no longer change. `crc32c`
    is the checksum of these bytes. A store that knows the checksum of the part compares them.
    """

    name: PartName
    size: int
    sealed: bool
    crc32c: int | None = None


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    key: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class OpenBlob:
    """A blob that was begun and is neither completed nor aborted. `modified` is the time of its
    latest known activity."""

    key: str
    session: str
    modified: datetime


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A PUT that the store accepts from anyone who sends exactly these headers, with the part's
    size as Content-Length."""

    url: str
    headers: Mapping[str, str]


MAX_TTL = timedelta(days=7)
PIECE = re.compile(r"\.\d+$")


def piece_key(key: str, number: int) -> str:
    """The key of a piece of the blob `key`. A piece is a temporary object that holds some of its
    parts."""
    return f"{key}.{number}"


def blob_key(key: str) -> str:
    """The key of the blob, from its own key or that of a piece."""
    return PIECE.sub("", key)


def validity_seconds(ttl: timedelta) -> int:
    """Rounds `ttl` up to whole seconds, up to the maximum that stores allow."""
    return math.ceil(min(ttl, MAX_TTL).total_seconds())


def blob_missing(key: str) -> DataLoss:
    return DataLoss(Reason.BLOB_MISSING, "The stored bytes are missing.", key=key)


def part_too_small(number: int, least: int) -> InvalidArgument:
    return InvalidArgument(
        Reason.PART_TOO_SMALL,
        f"Part {number} is too small: every part but the last needs at least {least} bytes.",
        part_number=number,
        min_part_size_bytes=least,
    )


async def require_blob(driver: "Driver", key: str, size: int) -> None:
    """Raises DataLoss unless the blob exists and has this size."""
    found = await driver.stat(key)
    if found is None or found.size != size:
        raise blob_missing(key)


class PartWriter(Protocol):
    """Writes one part from start to end. Not safe for concurrent calls."""

    @property
    def resent(self) -> bool:
        """Whether the sealed part was sent more than once. A copy may then still arrive at the
        store."""

    async def write(self, buffers: Sequence[Buffer]) -> None:
        """Appends. Nothing is durable before `sync` or `seal`."""

    async def sync(self) -> int:
        """Makes durable as much as the store can of an unfinished part.

        Returns how many bytes from the start of the part would survive a crash now. On a store that
        keeps only whole parts, it is 0.
        """

    async def seal(self) -> None:
        """Makes the whole part durable and closes it permanently."""

    async def discard(self) -> None:
        """Closes and removes the part as far as possible. Never raises."""


class Driver(Protocol):
    """One bucket, directory or heap. Keys are relative paths without `..`."""

    @property
    def limits(self) -> PartLimits: ...

    def overlaps(self, other: "Driver") -> bool:
        """Whether one of the two stores contains the other, or both are the same."""

    async def check(self) -> None:
        """Raises Unavailable with the cause unless the store can be read and written."""

    async def guard(self, key: str) -> None:
        """From now on, acknowledges nothing unless the blob `key` is where it was: raises
        Unavailable instead. Does nothing if the requests to a store that is not there fail
        anyway."""

    async def put(self, key: str, data: Buffer, content_type: str = "") -> None:
        """Stores a small blob durably in one call. Idempotent. `content_type` is the type that the
        store itself sends to readers."""

    async def copy(
        self, source: "Driver", source_key: str, key: str, size: int, content_type: str
    ) -> bool:
        """Copies a blob of `size` bytes from another store within the backend. Durable and
        idempotent.

        Returns False, and does nothing, if the backend does not support the copy. Raises DataLoss
        unless the source has the blob with this size.
        """

    async def begin(self, key: str, content_type: str = "") -> str:
        """Opens a blob for parts. Returns its session."""

    async def supersede(self, key: str, session: str, next_number: int) -> str:
        """Returns a session that keeps the parts before `next_number` and that no write begun in
        `session` can reach, even if it arrives late. If part names contain the epoch, this is the
        same session. Raises Unavailable."""

    async def abort_unused(self, key: str, session: str, kept: str) -> None:
        """Aborts everything that is open in `session` but not part of the session `kept`. Call it
        after `supersede`, for the unused session. Idempotent."""

    async def open_part(
        self, key: str, session: str, name: PartName, expected: ExpectedRange | None = None
    ) -> PartWriter:
        """Opens a part for writing. The name must be new for this key. If `expected` is set, the
        part must be sealed with exactly that size."""

    async def remove_part(self, key: str, session: str, name: PartName) -> None:
        """Removes a sealed part that was opened without an expected range, if it exists. Does
        nothing on a backend where the replacement already overwrote it (`PartLimits.numbered`)."""

    async def sign_part(
        self,
        key: str,
        session: str,
        name: PartName,
        size: int,
        crc32c: int,
        ttl: timedelta,
    ) -> SignedRequest | None:
        """Signs a request that stores exactly these bytes as a whole part, without this service.

        Returns None if the store accepts no such requests or does not verify the checksum, or if
        there is no signing key. The request can never change the completed blob. `ttl` is at most
        seven days. Raises Unavailable.
        """

    async def stored_parts(
        self, key: str, session: str, names: Sequence[PartName]
    ) -> dict[PartName, tuple[int, int]]:
        """Finds which of these parts are complete, sent by a signed request or sealed by a writer.
        Returns (size, CRC32C) by name, for parts of which the store reports both. Returns nothing
        if the open blob is gone, or if the driver signs no requests.
        """

    async def sign_read(
        self, key: str, ttl: timedelta, content_type: str, disposition: str
    ) -> str | None:
        """Signs a URL of the store that reads a blob, ranges included, with these response headers.

        Returns None if the store has no such URLs, or if there is no signing key. `ttl` is at most
        seven days.
        """

    async def complete(self, key: str, session: str, parts: Sequence[StoredPart]) -> None:
        """Joins the parts, in order, into the blob `key`, durably. Afterwards, the parts may be
        gone. Idempotent, even after a crash.

        Raises InvalidArgument (PART_TOO_SMALL), and Internal if the store permanently rejects the
        parts for another reason.
        """

    async def abort(self, key: str, session: str) -> None:
        """Removes every part of an open blob, including parts that no row names. Never removes the
        blob itself. Idempotent."""

    def read(
        self, key: str, offset: int, length: int, piece_size: PieceSize
    ) -> AsyncGenerator[bytes, None]:
        """Yields exactly `length` bytes from `offset`, at most `piece_size` at a time.

        The generator keeps no reference to a piece that it has yielded: thousands of readers may
        wait for slow clients. Close it to stop early. Raises DataLoss if the bytes do not exist.
        """

    async def stat(self, key: str) -> ObjectInfo | None:
        """Returns None if there is no such blob."""

    async def delete(self, key: str) -> None:
        """Deletes a blob, if it exists."""

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Lists, in no particular order, every blob whose key begins with `prefix`, and every piece
        of an incomplete blob (`piece_key`). Does not list open parts."""

    def list_open(self) -> AsyncIterator[OpenBlob]:
        """Lists, in no particular order, every open blob and every open piece that occupies space
        in the store."""

    def local_path(self, key: str) -> Path | None:
        """The path of the blob on this machine, or None if the blob is not a local file."""

    async def close(self) -> None: ...
