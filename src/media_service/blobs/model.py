"""Bytes in a store, and the names of the stores."""

from dataclasses import dataclass

from media_service.storage.checksums import Checksums

# The stores: of what only its owner may read, and of what anybody may.
RAW = "raw"
PUBLIC = "public"


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes in a store."""

    blob_id: str
    store: str
    key: str
    size_bytes: int
    checksums: Checksums
