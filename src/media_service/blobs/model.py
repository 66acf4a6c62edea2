"""Blobs, and the names of the stores."""

from dataclasses import dataclass

from media_service.storage.checksums import Checksums

# The stores: for what only its owner can read, and for what everybody can read.
RAW = "raw"
PUBLIC = "public"


@dataclass(frozen=True, slots=True)
class Blob:
    """Immutable bytes in a store. `store`: RAW or PUBLIC. `key`: in that store."""

    blob_id: str
    store: str
    key: str
    size_bytes: int
    checksums: Checksums
