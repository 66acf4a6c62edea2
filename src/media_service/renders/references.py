"""Renders refer to blobs."""

from media_service.blobs.references import BlobReference

REFERENCE = BlobReference("renders", expendable=True)
