"""Whether the parts of an upload are all there, and what they are said to be."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from media_service.errors import AlreadyExists, FailedPrecondition, InvalidArgument, Reason
from media_service.uploads.model import Part, Upload

# Ranges of missing numbers that a message names; 10 000 parts could have 5000.
MOST_RANGES = 50


@dataclass(frozen=True, slots=True)
class ListedPart:
    """A part as a caller knows it; None or empty: not known."""

    number: int
    size: int | None = None
    crc32c: int | None = None
    etag: str = ""

    @property
    def bound(self) -> bool:
        """Whether its bytes are decided."""
        return self.size is not None and self.crc32c is not None


def conflict(number: int, why: str, next_part_number: int) -> AlreadyExists:
    return AlreadyExists(
        Reason.PART_CONFLICT,
        f"Part {number} {why}",
        part_number=number,
        next_part_number=next_part_number,
    )


def other_bytes(number: int, next_part_number: int) -> AlreadyExists:
    return conflict(
        number,
        "already has other bytes, which are final. Create a new upload for another file.",
        next_part_number,
    )


def check_number(upload: Upload, number: int, found: Part | None) -> None:
    """Whether a caller may put this part. Raises AlreadyExists (PART_CONFLICT)."""
    if found is not None and found.sealed:
        return
    if found is not None or number < upload.next_part:
        raise conflict(
            number,
            f"was written by a stream. Continue with part {upload.next_part}.",
            upload.next_part,
        )


def check_claims(
    upload: Upload, known: Mapping[int, Part], parts: Iterable[Part], *, replacing: bool = False
) -> None:
    """Whether these numbers are free, have the same bytes, or, with `replacing`, may have others.
    Raises AlreadyExists."""
    for part in parts:
        found = known.get(part.number)
        check_number(upload, part.number, found)
        if replacing and found is not None and found.replaceable:
            continue
        if found is not None and (found.size, found.crc32c) != (part.size, part.crc32c):
            raise other_bytes(part.number, upload.next_part)


def check_parts(upload: Upload, parts: Sequence[Part], listed: Sequence[ListedPart]) -> None:
    """Whether an upload can be completed. Without `listed` the parts are what they are, if none is
    missing between, or claimed and not here.

    Raises FailedPrecondition (UPLOAD_INCOMPLETE), AlreadyExists (PART_CONFLICT) or InvalidArgument.
    """
    stored = {part.number: part for part in parts if part.stored}
    wanted = {part.number for part in listed} or {part.number for part in parts}
    last = max(wanted, default=0)
    gaps = set(range(upload.next_part, last + 1))
    if missing := (wanted | gaps) - stored.keys():
        raise incomplete(upload, missing)
    if len(wanted) < len(listed):
        raise InvalidArgument(
            Reason.INVALID_FIELD,
            "A part is listed more than once.",
            (("parts", "must name each part once"),),
        )
    if listed and (excess := stored.keys() - wanted):
        raise conflict(min(excess), "is stored, but not listed.", upload.next_part)
    for part in listed:
        found = stored[part.number]
        if (
            part.size not in {None, found.size}
            or part.crc32c not in {None, found.crc32c}
            or part.etag not in {"", found.etag}
        ):
            raise conflict(
                part.number,
                "is not the listed one: its size, CRC32C or etag differs.",
                upload.next_part,
            )


def incomplete(upload: Upload, missing: Collection[int]) -> FailedPrecondition:
    return FailedPrecondition(
        Reason.UPLOAD_INCOMPLETE,
        f"Parts are missing: {ranges(missing)}. Send them, then complete the upload.",
        committed_size_bytes=upload.committed_size,
        size_bytes="" if upload.spec.size_bytes is None else upload.spec.size_bytes,
        missing_parts=ranges(missing),
    )


def outstanding(upload: Upload, parts: Iterable[Part]) -> FailedPrecondition:
    """Why a stream cannot continue: parts lie after a gap, or are not counted yet."""
    stored = {part.number for part in parts if part.stored}
    missing = set(range(upload.next_part, max(stored, default=0))) - stored
    why = (
        f"Parts are stored after a gap. Send parts {ranges(missing)} first."
        if missing
        else "Parts are stored that can still be replaced. Send the rest as parts too."
    )
    return FailedPrecondition(
        Reason.PARTS_OUTSTANDING,
        why,
        missing_parts=ranges(missing),
        committed_size_bytes=upload.committed_size,
    )


def ranges(numbers: Collection[int]) -> str:
    """ "2,5-7": as short as it can be said."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    named = [str(first) if first == last else f"{first}-{last}" for first, last in found]
    return ",".join([*named[:MOST_RANGES], "..."] if len(named) > MOST_RANGES else named)
