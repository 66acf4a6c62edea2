"""Differences between the database and a store."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from media_service.errors import Reason
from media_service.storage.blob_store import BlobStore
from media_service.storage.checksums import Checksums
from media_service.storage.driver import blob_key

# Bytes are stored before their row, and blobs opened before theirs. So younger objects without a
# row are ignored.
GRACE = timedelta(hours=24)
# The reasons for which reconcile quarantines media, and ends their quarantine.
REASONS = (Reason.BLOB_MISSING, Reason.CHECKSUM_MISMATCH)


class Kind(StrEnum):
    MISSING = "MISSING"  # the bytes of a row do not exist, or have another size
    CORRUPT = "CORRUPT"  # the bytes differ from those that were stored
    RECOVERED = "RECOVERED"  # the bytes of a quarantined media are intact again
    ORPHANED = "ORPHANED"  # an object that no row will ever refer to
    ABANDONED = "ABANDONED"  # parts of an upload that no longer exists


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
class ReferencedBlob:
    """A blob with references. `quarantined`: a media is in quarantine because of it."""

    blob_id: str
    key: str
    size_bytes: int
    checksums: Checksums
    quarantined: bool


class StoreMismatch(Exception):
    """The database and the store do not belong to the same service."""


def blob_id_of(key: str) -> str | None:
    """The id of the blob with this key, or whose piece has it. None if the key is of another form,
    as of leftovers of a crash."""
    key = blob_key(key)
    name = key.rpartition("/")[2]
    try:
        blob_id = str(UUID(name))
    except ValueError:
        return None
    return blob_id if BlobStore.key(blob_id) == key else None
