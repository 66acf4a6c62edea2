"""The multipart uploads that hold the parts of one blob. Together they are the blob's session.

S3 identifies a part by its number alone and requires numbers from 1 without gaps. A writer that
takes over while parts of an earlier writer may still arrive therefore begins a new multipart
upload, with its own number 1. Parts that arrive late are never joined. The first multipart upload
has the blob's key, and is the only one unless a writer died. Each later one has a separate key
until all are joined.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from media_service.storage.driver import StoredPart, piece_key


@dataclass(frozen=True, slots=True)
class MultipartUpload:
    """One multipart upload. `first` is the blob's part number that is part 1 here."""

    key: str
    upload_id: str
    first: int = 1

    def number(self, number: int) -> int:
        """The number here of the blob's part `number`."""
        return number - self.first + 1


def parse_session(key: str, session: str) -> list[MultipartUpload]:
    """Returns the multipart uploads in the order of their first numbers.

    `session` has their ids, separated by spaces, which ids do not contain. All but the first id are
    preceded by their first number: `id 47@id`.
    """
    if not session:
        return []
    first, *later = session.split(" ")
    found = [MultipartUpload(key, first)]
    for one in later:
        number, _, upload_id = one.partition("@")
        found.append(MultipartUpload(piece_key(key, int(number)), upload_id, int(number)))
    return found


def format_session(uploads: Sequence[MultipartUpload]) -> str:
    first, *later = uploads
    return " ".join([first.upload_id, *(f"{one.first}@{one.upload_id}" for one in later)])


def upload_of_part(uploads: Sequence[MultipartUpload], number: int) -> MultipartUpload:
    """The multipart upload that holds the blob's part `number`."""
    return next(one for one in reversed(uploads) if one.first <= number)


def parts_by_upload(
    uploads: Sequence[MultipartUpload], parts: Sequence[StoredPart]
) -> dict[MultipartUpload, list[StoredPart]]:
    """Groups parts by the multipart upload that holds them."""
    found: dict[MultipartUpload, list[StoredPart]] = {}
    for part in parts:
        found.setdefault(upload_of_part(uploads, part.name.number), []).append(part)
    return found
