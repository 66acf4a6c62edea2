"""HEIC pixels. The libvips that comes as a wheel reads its header, but has no HEVC decoder; FFmpeg
has one, and sees a picture as one stream for each of its tiles."""

import av

from media_service.errors import InvalidArgument, Reason
from media_service.processing.inspect.container import open_container


def decode(media: int) -> None:
    """Decodes every tile; raises InvalidArgument (MEDIA_CORRUPT)."""
    try:
        with open_container(media, "mov") as container:
            silent = {stream.index for stream in container.streams.video}
            for packet in container.demux(video=tuple(range(len(silent)))):
                if packet.decode():
                    silent.discard(packet.stream.index)
    except av.FFmpegError as error:
        raise InvalidArgument(
            Reason.MEDIA_CORRUPT, f"The picture cannot be decoded: {error.strerror}."
        ) from None
    if silent:
        raise InvalidArgument(Reason.MEDIA_CORRUPT, "The picture is not whole.")
