"""The payload: random bytes after the header of an MP4, created once."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crc32c import crc32c as crc32c_of

BLOCK = 16 << 20
# A file type box, and a media data box that extends to the end of the file (ISO/IEC 14496-12).
HEADER = b"\0\0\0\x18ftypisom\0\0\2\0isommp42" + b"\0\0\0\0mdat"


@dataclass(frozen=True)
class Payload:
    path: Path
    size: int
    sha256: bytes
    crc32c: int

    def pieces(self, size: int, piece: int) -> Iterator[bytes]:
        """Yields `size` bytes in pieces of `piece` bytes. At its end, the file starts over."""
        with self.path.open("rb", buffering=0) as file:
            while size > 0:
                data = file.read(min(piece, size))
                if not data:
                    file.seek(0)
                    continue
                size -= len(data)
                yield data


def make_payload(path: Path, size: int) -> Payload:
    digest, crc = hashlib.sha256(), 0
    with path.open("wb") as file:
        while (at := file.tell()) < size:
            block = os.urandom(min(BLOCK, size - at))
            if at == 0:
                block = HEADER + block[len(HEADER) :]
            file.write(block)
            digest.update(block)
            crc = crc32c_of(block, crc)
    return Payload(path, size, digest.digest(), crc)
