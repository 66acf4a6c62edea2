"""The blobs of cached renders."""

from media_service.blobs.references import BlobReference

REFERENCE = BlobReference("renders", expendable=True)
