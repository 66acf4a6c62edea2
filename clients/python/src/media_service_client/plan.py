"""How a file is cut into parts, beside those that are there already.

Parts lie one after the other in the order of their numbers. So where a part lies that waits behind
a gap follows from the sizes of those that are yet to come. They are cut so that each part that is
there has the bytes of its place; whether it has is read, for a wrong place would make another file.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from grpc import StatusCode
from mediaservice.v1 import upload_pb2

from media_service_client.errors import MediaServiceError
from media_service_client.source import Source

PART = 16 << 20  # bytes
MIB = 1 << 20
MOST_PARTS = 10_000

Parts = dict[int, upload_pb2.Part]


@dataclass(frozen=True, slots=True)
class Slice:
    """Bytes [start, end) of the file, which are part `number`."""

    number: int
    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Known:
    """What an upload has, by number: parts that are `stored`, and parts whose bytes are decided and
    that are not here."""

    stored: Parts
    claimed: Parts

    @property
    def first(self) -> list[Slice]:
        """Those without a gap before them."""
        slices: list[Slice] = []
        number, at = 1, 0
        while part := self.stored.get(number):
            slices.append(Slice(number, at, at + part.size_bytes))
            number, at = number + 1, at + part.size_bytes
        return slices

    @property
    def waiting(self) -> Parts:
        """The others."""
        done = len(self.first)
        return {n: part for n, part in {**self.stored, **self.claimed}.items() if n > done}


def slices_of(source: Source, upload: upload_pb2.Upload, known: Known) -> list[Slice]:
    """The whole file as parts. Raises SOURCE_CHANGED if what is there is of another file, and
    PART_CONFLICT if a part waits for another cut than can be made."""
    first, waiting = known.first, known.waiting
    if wrong := misfit(
        source, first, {place.number: known.stored[place.number] for place in first}
    ):
        raise MediaServiceError(
            StatusCode.FAILED_PRECONDITION,
            "SOURCE_CHANGED",
            f"upload {upload.upload_id} was begun with another file: its part {wrong} has other "
            "bytes; nothing was sent",
        )
    number, at = len(first) + 1, first[-1].end if first else 0
    least = -(-(source.size - at) // max(1, MOST_PARTS - number + 1))
    ours = min(-(-max(PART, least) // MIB) * MIB, upload.max_part_size_bytes)
    rest = list(evenly(number, at, source.size, ours))
    if wrong := misfit(source, rest, waiting):
        theirs = min(max(part.size_bytes for part in waiting.values()), upload.max_part_size_bytes)
        rest = list(evenly(number, at, source.size, theirs))
        if misfit(source, rest, waiting) or rest[-1].number > MOST_PARTS:
            raise elsewhere(upload, known, wrong)
    return [*first, *rest]


def evenly(number: int, start: int, end: int, size: int) -> Iterator[Slice]:
    for following, at in enumerate(range(start, end, size), number):
        yield Slice(following, at, min(at + size, end))


def misfit(source: Source, slices: Sequence[Slice], parts: Parts) -> int:
    """The number of a part that has not the bytes of its place in the file; 0: each has."""
    places = {place.number: place for place in slices}
    for number, part in sorted(parts.items()):
        if number not in places or places[number].size != part.size_bytes:
            return number
    for number, part in sorted(parts.items()):
        place = places[number]
        if place.end > source.size or source.crc32c_of(place.start, place.end) != part.crc32c:
            return number
    return 0


def elsewhere(upload: upload_pb2.Upload, known: Known, number: int) -> MediaServiceError:
    part = known.waiting[number]
    ways = "Finish the upload the way it was begun, or begin a new one."
    if not any(waits in known.stored for waits in known.waiting):
        ways = f"Go on without parallel parts, which gives it up. {ways}"
    return MediaServiceError(
        StatusCode.ALREADY_EXISTS,
        "PART_CONFLICT",
        f"Nothing was sent. Part {number} of upload {upload.upload_id}, {part.size_bytes} bytes, "
        f"{'is here' if number in known.stored else 'was claimed'} already, and this file has "
        f"other bytes where it would lie: it was cut otherwise, or is of another file. {ways}",
        {"part_number": str(number)},
    )
