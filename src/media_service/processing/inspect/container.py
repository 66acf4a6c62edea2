"""Opens films and sounds with FFmpeg's demuxers, each type with its own and no other."""

import os
from typing import Any

import av


def open_container(media: int, demuxer: str) -> Any:
    """Opens the file descriptor `media` as `demuxer` has it; raises av.FFmpegError.

    The demuxer is never guessed: a playlist, which could name other files and hosts, is no film
    whatever its name. FFmpeg gets an open file and no way to open another.
    """
    file = os.fdopen(os.dup(media), "rb")
    file.seek(0)
    return av.open(
        file, format=demuxer, options={"protocol_whitelist": "pipe"}, metadata_errors="replace"
    )
