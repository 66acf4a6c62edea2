"""The blobs that renditions lie in."""

from media_service.blobs.references import BlobReference

REFERENCE = BlobReference("renditions")
