"""Checks parts against those that are stored, and whether an upload has all its parts."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from media_service.errors import AlreadyExists, FailedPrecondition, InvalidArgument, Reason
from media_service.uploads.model import Part, Upload

# The most ranges of missing numbers in a message. 10,000 parts can have 5,000 gaps.
MOST_RANGES = 50


@dataclass(frozen=True, slots=True)
class ListedPart:
    """A part as a caller describes it. None or empty means unknown."""

    number: int
    size: int | None = None
    crc32c: int | None = None
    etag: str = ""

    @property
    def bound(self) -> bool:
        """Whether size and CRC32C are both known."""
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
        "is already stored or claimed with different bytes, which are final. Create a new upload"
        " for a different file.",
        next_part_number,
    )


def check_number(upload: Upload, number: int, found: Part | None) -> None:
    """Checks that a caller may put this part. Raises AlreadyExists (PART_CONFLICT)."""
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
    """Checks that each number is free or has the same bytes. With `replacing`, a replaceable part
    may have different bytes. Raises AlreadyExists (PART_CONFLICT)."""
    for part in parts:
        found = known.get(part.number)
        check_number(upload, part.number, found)
        if replacing and found is not None and found.replaceable:
            continue
        if found is not None and (found.size, found.crc32c) != (part.size, part.crc32c):
            raise other_bytes(part.number, upload.next_part)


def check_parts(upload: Upload, parts: Sequence[Part], listed: Sequence[ListedPart]) -> None:
    """Checks that an upload can be completed: no part is missing, and each part matches `listed`.

    If `listed` is empty, the stored parts are accepted. Each claimed part must then be stored.
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
    """The error for a stream that cannot continue: parts are stored after a gap, or replaceable."""
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
    """Formats numbers as ranges, such as `2,5-7`."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    named = [str(first) if first == last else f"{first}-{last}" for first, last in found]
    return ",".join([*named[:MOST_RANGES], "..."] if len(named) > MOST_RANGES else named)
