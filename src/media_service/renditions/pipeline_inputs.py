"""Checks which media a pipeline may read."""

from media_service.access.policy import combine
from media_service.codecs.pipeline.pipeline import Pipeline
from media_service.codecs.pipeline.route import Route, find_route
from media_service.errors import FailedPrecondition, Reason
from media_service.media.model import Kind, Media
from media_service.media.reader import not_found
from media_service.media.service import available


def image_of(media: Media) -> Media:
    """Returns the media if it is an image that may be read, now or soon. Raises FailedPrecondition
    (OPERATION_NOT_APPLICABLE, MEDIA_QUARANTINED, MEDIA_DELETED)."""
    if media.kind is not Kind.IMAGE:
        raise FailedPrecondition(
            Reason.OPERATION_NOT_APPLICABLE,
            "The media is not an image. Only images can be rendered on demand or used as overlays.",
        )
    return available(media)


def route_of(media: Media, pipeline: Pipeline) -> Route:
    """Returns the route of a pipeline if the media may be read, now or soon. Raises
    FailedPrecondition (OPERATION_NOT_APPLICABLE, MEDIA_QUARANTINED, MEDIA_DELETED)."""
    return find_route(pipeline, available(media).kind)


def overlay_of(media: Media, overlay: Media | None, media_id: str) -> Media:
    """Returns the overlay if it is an image with the owner or in the project of the media. Raises
    NotFound (MEDIA_NOT_FOUND) and the errors of `image_of`."""
    return image_of(combine(media, overlay, not_found(media_id)))
