"""What does not agree between the database and a store."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from media_service.errors import Reason
from media_service.storage.blob_store import BlobStore
from media_service.storage.checksums import Checksums
from media_service.storage.driver import blob_key

# An upload in one step stores its bytes before its row, and an open blob may be older than its
# row: what nobody names is left alone for so long.
GRACE = timedelta(hours=24)
# What a media is quarantined for here, and what is taken back here.
REASONS = (Reason.BLOB_MISSING, Reason.CHECKSUM_MISMATCH)


class Kind(StrEnum):
    MISSING = "MISSING"  # a row whose bytes are not there, or are more or fewer
    CORRUPT = "CORRUPT"  # bytes that are not those that were stored
    RECOVERED = "RECOVERED"  # the bytes of a quarantined media, which are all right again
    ORPHANED = "ORPHANED"  # an object that no row names, nor will
    ABANDONED = "ABANDONED"  # parts of an upload that is no more


@dataclass(frozen=True, slots=True)
class Finding:
    """`media_ids`: every media with a version of these bytes. `session`: of an open blob."""

    kind: Kind
    store: str
    key: str
    detail: str
    media_ids: tuple[str, ...] = ()
    blob_id: str | None = None
    session: str = ""


@dataclass(frozen=True, slots=True)
class NamedBlob:
    """A blob that something refers to. `quarantined`: a media is in quarantine because of it."""

    blob_id: str
    key: str
    size_bytes: int
    checksums: Checksums
    quarantined: bool


class NotTheSame(Exception):
    """The database and the store do not belong to the same service."""


def blob_id_of(key: str) -> str | None:
    """Whose key it is, or that of a piece; None if it is not a blob's, such as what a crash left
    beside one."""
    key = blob_key(key)
    name = key.rpartition("/")[2]
    try:
        blob_id = str(UUID(name))
    except ValueError:
        return None
    return blob_id if BlobStore.key(blob_id) == key else None
