"""The blobs of renditions that were kept with earlier versions."""

from media_service.blobs.references import BlobReference

REFERENCE = BlobReference("version_renditions", expendable=True)
