"""Versions of media refer to blobs."""

from media_service.blobs.references import BlobReference

REFERENCE = BlobReference("media_versions")
