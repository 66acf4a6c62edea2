"""Opens video and audio files with the FFmpeg demuxer of their type, and no other."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import av


@contextmanager
def open_container(media: int, demuxer: str) -> Iterator[Any]:
    """Opens the file descriptor `media` with `demuxer`. Raises av.FFmpegError.

    FFmpeg never guesses the demuxer. Therefore, a playlist, which could name other files and hosts,
    is never opened as a video. FFmpeg gets an open file and cannot open other files.
    """
    options = {"protocol_whitelist": "pipe"}
    with os.fdopen(os.dup(media), "rb") as file:
        file.seek(0)
        with av.open(file, format=demuxer, options=options, metadata_errors="replace") as container:
            yield container


def packets(container: Any, *tracks: Any) -> Iterator[Any]:
    """Yields the packets of tracks, or of all tracks, from the current position on. PyAV fails at a
    packet of a track that the beginning of the file did not announce, which this skips."""
    while True:
        try:
            yield from container.demux(*tracks)
        except IndexError:
            continue
        return
