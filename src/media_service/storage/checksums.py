"""The checksums of a whole object."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Checksums:
    """The checksums of a whole object. None means unknown. `sha256` has 32 bytes."""

    crc32c: int | None = None
    sha256: bytes | None = None
