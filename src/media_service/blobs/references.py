"""Which tables refer to blobs.

A package whose table refers to blobs has a `references.py` with a `REFERENCE`. That is all it
takes: purges, `reconcile` and the tests of crashes find it there.
"""

from dataclasses import dataclass
from functools import cache

from media_service.discovery import find_modules


@dataclass(frozen=True, slots=True)
class BlobReference:
    """A table, each row `r` of which refers to a blob by its `blob_id`.

    `media_id`: SQL of the media that a row belongs to. `of_media`: an SQL condition for the rows
    of the media `%(media_id)s`, which an index finds. `expendable`: the bytes can be made again, so
    that a row whose bytes are lost is removed, and the media stays in service.
    """

    table: str
    media_id: str = "r.media_id"
    of_media: str = "r.media_id = %(media_id)s"
    expendable: bool = False


@cache
def blob_references() -> tuple[BlobReference, ...]:
    """All of them, by the names of their modules."""
    found = (getattr(module, "REFERENCE", None) for module in find_modules("references"))
    return tuple(reference for reference in found if reference)
