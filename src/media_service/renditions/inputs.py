"""Which media others can be made of."""

from media_service.access.policy import combine
from media_service.codecs.pipeline.route import Route, find_route
from media_service.errors import FailedPrecondition, Reason
from media_service.media.model import Kind, Media
from media_service.media.reader import not_found
from media_service.media.service import readable


def picture_of(media: Media) -> Media:
    """The media itself, a picture that may be read. Raises FailedPrecondition
    (OPERATION_NOT_APPLICABLE, MEDIA_QUARANTINED, MEDIA_DELETED)."""
    if media.kind is not Kind.IMAGE:
        raise FailedPrecondition(
            Reason.OPERATION_NOT_APPLICABLE,
            "The media is no picture; pictures are made of pictures.",
        )
    return readable(media)


def way_of(media: Media, text: str) -> Route:
    """Which way a pipeline takes through a media that may be read. Raises FailedPrecondition
    (OPERATION_NOT_APPLICABLE, MEDIA_QUARANTINED, MEDIA_DELETED)."""
    return find_route(text, readable(media).kind)


def overlay_of(media: Media, overlay: Media | None, media_id: str) -> Media:
    """A picture of the same owner that is laid over another. Raises as `picture_of`, and NotFound
    (MEDIA_NOT_FOUND)."""
    return picture_of(combine(media, overlay, not_found(media_id)))
