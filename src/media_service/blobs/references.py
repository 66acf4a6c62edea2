"""The tables that refer to blobs.
A package whose table refers to blobs has a module `references` with a `REFERENCE`. Purges,
`reconcile` and the crash tests find it there.
"""

from dataclasses import dataclass
from functools import cache

from media_service.discovery import find_modules


@dataclass(frozen=True, slots=True)
class BlobReference:
    """A table, each row `r` of which refers to a blob by its `blob_id`.

    `media_id` is an SQL expression for the media of a row. `of_media` is an SQL condition for the
    rows of the media `%(media_id)s`, supported by an index. `expendable` means that the bytes can
    be computed again. If they are lost, the row is removed and the media remains in service.
    """

    table: str
    media_id: str = "r.media_id"
    of_media: str = "r.media_id = %(media_id)s"
    expendable: bool = False


@cache
def blob_references() -> tuple[BlobReference, ...]:
    """The references of all packages."""
    found = (getattr(module, "REFERENCE", None) for module in find_modules("references"))
    return tuple(reference for reference in found if reference)
