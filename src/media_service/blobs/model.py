"""Blobs and the names of the stores."""

from dataclasses import dataclass

from media_service.storage.checksums import Checksums

# The store of content that only its owner can read, and the store of public content.
RAW = "raw"
PUBLIC = "public"


@dataclass(frozen=True, slots=True)
class Blob:
    """Immutable bytes in a store. `store` is RAW or PUBLIC. `key` is the key in that store."""

    blob_id: str
    store: str
    key: str
    size_bytes: int
    checksums: Checksums
