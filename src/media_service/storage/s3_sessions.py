"""The multipart uploads that hold the parts of one blob.

S3 knows a part by its number alone, and wants numbers from 1 on without a gap. So whoever goes on
where parts of another may still come begins a multipart upload of its own: numbers begin at 1 in
each, and what comes late joins nothing. The first is the blob's; it is all there is, unless a
writer died. Each later one lies on a key of its own beside it, until all are joined.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from media_service.storage.driver import StoredPart, piece_key


@dataclass(frozen=True, slots=True)
class Session:
    """One multipart upload. `first`: the number in the blob of its own part 1."""

    key: str
    upload_id: str
    first: int = 1

    def number(self, number: int) -> int:
        """What the store calls the blob's part of this number."""
        return number - self.first + 1


def sessions_of(key: str, told: str) -> list[Session]:
    """By their first numbers. `told`: ids, separated by blanks, which no id has; all but the first
    are told with their first numbers: `id 47@id`."""
    if not told:
        return []
    first, *later = told.split(" ")
    found = [Session(key, first)]
    for one in later:
        number, _, upload_id = one.partition("@")
        found.append(Session(piece_key(key, int(number)), upload_id, int(number)))
    return found


def told(sessions: Sequence[Session]) -> str:
    first, *later = sessions
    return " ".join([first.upload_id, *(f"{one.first}@{one.upload_id}" for one in later)])


def holding(sessions: Sequence[Session], number: int) -> Session:
    """The one that a part belongs to."""
    return next(one for one in reversed(sessions) if one.first <= number)


def shared_out(
    sessions: Sequence[Session], parts: Sequence[StoredPart]
) -> dict[Session, list[StoredPart]]:
    """Which parts each has, of those that have any."""
    found: dict[Session, list[StoredPart]] = {}
    for part in parts:
        found.setdefault(holding(sessions, part.name.number), []).append(part)
    return found
