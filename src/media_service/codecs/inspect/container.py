"""Opens films and sounds with FFmpeg's demuxers, each type with its own and no other."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import av


@contextmanager
def open_container(media: int, demuxer: str) -> Iterator[Any]:
    """Opens the file descriptor `media` as `demuxer` has it; raises av.FFmpegError.

    The demuxer is never guessed: a playlist, which could name other files and hosts, is no film
    whatever its name. FFmpeg gets an open file and no way to open another.
    """
    options = {"protocol_whitelist": "pipe"}
    with os.fdopen(os.dup(media), "rb") as file:
        file.seek(0)
        with av.open(file, format=demuxer, options=options, metadata_errors="replace") as container:
            yield container
