"""What a place that keeps bytes must do. One file per backend implements it; `BlobStore` is what
the rest of the service uses.

A driver translates its backend's errors at its edge, into `errors.Unavailable`
(STORAGE_UNAVAILABLE), `errors.ResourceExhausted` (STORAGE_FULL) and `errors.DataLoss`
(BLOB_MISSING).
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


@dataclass(frozen=True, slots=True)
class Limits:
    """What a backend demands of parts, in bytes. On local disk nothing is demanded."""

    # Every part but the last must have this size at least.
    min_part_size: int = 0
    # A stream starts a new part at this size; None: a stream is one part.
    stream_part_size: int | None = None
    # No part may be larger, since it waits in memory; None: it does not.
    max_part_size: int | None = None
    # No part that a signed request brings may be larger; None: none are signed.
    max_signed_part_size: int | None = None
    # A session knows parts by their numbers alone: what is stored under one takes the place of what
    # was. So it is decided before, which bytes those are.
    numbered: bool = False


@dataclass(frozen=True, slots=True)
class PartName:
    """Names the bytes of one part of one open blob. Never used twice: epochs only grow. Where a
    store does not see them, no two use the same number in one session (`Driver.succeed`)."""

    number: int
    epoch: int

    @property
    def file(self) -> str:
        """The same, where names are texts."""
        return f"{self.epoch}-{self.number}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a part of `size` bytes will lie in the blob, if those before it are as large: a guess
    that may turn out wrong, or to be another part's."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part whose first `size` bytes belong to the blob.

    `sealed`: its writer closed it, so nothing can be written to it any more.
    """

    name: PartName
    size: int
    sealed: bool


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    key: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class OpenBlob:
    """A blob that was begun and neither completed nor aborted. `modified`: its last known sign of
    life."""

    key: str
    session: str
    modified: datetime


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A PUT that the store takes from whoever has it, with exactly these headers, and the
    Content-Length of the part."""

    url: str
    headers: Mapping[str, str]


LONGEST_SIGNED = timedelta(days=7)
PIECE = re.compile(r"\.\d+$")


def piece_key(key: str, number: int) -> str:
    """Where a driver may keep some of the blob `key` until it is whole."""
    return f"{key}.{number}"


def whole_key(key: str) -> str:
    """The blob's key, of its own or of a piece's."""
    return PIECE.sub("", key)


def signed_seconds(lifetime: timedelta) -> int:
    """How long a signed request is valid: whole seconds, no fewer than asked for, and no more than
    stores allow."""
    return math.ceil(min(lifetime, LONGEST_SIGNED).total_seconds())


def missing(key: str) -> DataLoss:
    return DataLoss(Reason.BLOB_MISSING, "The stored bytes are missing.", key=key)


def part_too_small(number: int, least: int) -> InvalidArgument:
    return InvalidArgument(
        Reason.PART_TOO_SMALL,
        f"Part {number} has less than the {least} bytes that a part needs which others follow.",
        part_number=number,
        min_part_size_bytes=least,
    )


async def expect(driver: "Driver", key: str, size: int) -> None:
    """Raises DataLoss unless there is such a blob, of this size."""
    found = await driver.stat(key)
    if found is None or found.size != size:
        raise missing(key)


class PartWriter(Protocol):
    """Writes one part, front to back. Not safe for concurrent calls."""

    async def write(self, buffers: Sequence[Buffer]) -> None:
        """Appends. Nothing is promised before `sync` or `seal`."""

    async def sync(self) -> int:
        """Makes as much durable as the store can for a part that is not whole.

        Returns how many bytes from the part's start would survive a crash now; 0 on a store that
        keeps only whole parts.
        """

    async def seal(self) -> None:
        """Makes all of it durable and closes the part for good."""

    async def discard(self) -> None:
        """Closes and removes the part, as far as that is possible. Never raises."""


class Driver(Protocol):
    """One bucket, directory or heap. Keys are relative paths without `..`."""

    @property
    def limits(self) -> Limits: ...

    async def check(self) -> None:
        """Raises Unavailable, which says why, if the store cannot be read and written."""

    async def put(self, key: str, data: Buffer, content_type: str = "") -> None:
        """Stores a small blob at once, durably. Idempotent. `content_type`: what the store itself
        says it is, to those who read it past this service."""

    async def copy(
        self, source: "Driver", source_key: str, key: str, size: int, content_type: str
    ) -> bool:
        """Copies a blob of `size` bytes from another driver's store without the bytes coming here;
        False, and nothing done, if this backend cannot. Durable, idempotent. Raises DataLoss if
        the source has no such blob of this size."""

    async def begin(self, key: str, content_type: str = "") -> str:
        """Opens a blob for parts; returns what must be given back to name the open session."""

    async def succeed(self, key: str, session: str, next_number: int) -> str:
        """A session that goes on at the part `next_number`, with those before, and into which
        nothing comes that was begun in `session`, however late. The same one where that cannot
        happen, since no two writers give a part the same name. Raises Unavailable."""

    async def release(self, key: str, session: str, kept: str) -> None:
        """After a `succeed`, ends what one of the two sessions has open and the one that is `kept`
        has not. Idempotent."""

    async def open_part(
        self, key: str, session: str, name: PartName, place: Place | None = None
    ) -> PartWriter:
        """Begins a part. The name must not have been used for this key before. `place`: if it is
        known how large the part will be; it must not be sealed with another size."""

    async def sign_part(
        self,
        key: str,
        session: str,
        name: PartName,
        size: int,
        crc32c: int,
        lifetime: timedelta,
    ) -> SignedRequest | None:
        """A request that stores a whole part of just these bytes, past this service; None if the
        store takes none, does not check what it takes, or there is nothing to sign with. It can
        never touch the completed blob. `lifetime`: at most seven days. Raises Unavailable."""

    async def stored_parts(
        self, key: str, session: str, names: Sequence[PartName]
    ) -> dict[PartName, tuple[int, int]]:
        """Which of these parts came by a signed request, or were sealed, and are stored whole:
        (size, CRC32C) by name, as far as the store tells both. None of an open blob that is gone,
        and none at all where no requests are signed: nothing comes past the service there."""

    async def sign_read(
        self, key: str, lifetime: timedelta, content_type: str, disposition: str
    ) -> str | None:
        """A URL of the store itself that reads a blob, also in ranges, and answers with these
        headers; None if it has none, or there is nothing to sign with. `lifetime`: at most seven
        days."""

    async def complete(self, key: str, session: str, parts: Sequence[StoredPart]) -> None:
        """Joins the parts, in order, into the blob `key`, durably. Idempotent, also after a crash
        halfway; afterwards the parts may be gone. Raises InvalidArgument (PART_TOO_SMALL) if the
        store wants more of a part than it has, and Internal if it will never take
        them for another reason."""

    async def abort(self, key: str, session: str) -> None:
        """Removes every part of an open blob, known or not; not the blob. Idempotent."""

    def read(self, key: str, offset: int, length: int, chunk: int) -> AsyncGenerator[bytes, None]:
        """Yields exactly `length` bytes from `offset` in pieces of at most `chunk` bytes.

        Raises DataLoss if they are not there. Close the iterator to stop early.
        """

    async def stat(self, key: str) -> ObjectInfo | None:
        """None if there is no such blob."""

    async def delete(self, key: str) -> None:
        """Removes a blob; no error if it is not there."""

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Every blob whose key begins with `prefix`, and every piece of one that is not whole yet
        (`piece_key`), in no particular order; not open parts."""

    def list_open(self) -> AsyncIterator[OpenBlob]:
        """Every open blob, and every open piece of one, that has left something in the store, in
        no particular order."""

    def local_path(self, key: str) -> Path | None:
        """The blob as a file on this machine, or None if it is not one."""

    async def close(self) -> None: ...
