"""The blobs of stream segments."""

from media_service.blobs.references import BlobReference

REFERENCE = BlobReference(
    "stream_segments",
    media_id="(select s.media_id from streams s where s.stream_id = r.stream_id)",
    of_media="r.stream_id in (select stream_id from streams where media_id = %(media_id)s)",
)
