"""The blobs of media versions."""

from media_service.blobs.references import BlobReference

REFERENCE = BlobReference("media_versions")
