"""The blobs of renditions."""

from media_service.blobs.references import BlobReference

REFERENCE = BlobReference("renditions")
