"""The blobs that renders lie in."""

from media_service.blobs.references import BlobReference

REFERENCE = BlobReference("renders", expendable=True)
