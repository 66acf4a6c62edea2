"""The blobs that versions of media lie in."""

from media_service.blobs.references import BlobReference

REFERENCE = BlobReference("media_versions")
