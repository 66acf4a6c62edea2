"""Detects that a library ran out of memory."""

MESSAGES = (
    # libvips, librsvg and libtiff; libjpeg; libheif; other parts of libvips.
    *("out of memory", "insufficient memory", "memory allocation", "failed to allocate"),
    # GLib, if the stack of a thread exceeds the limit of the address space.
    "error creating thread",
)


def is_out_of_memory(error: str) -> bool:
    """Whether an error message of a library means that an allocation failed."""
    return any(message in error.lower() for message in MESSAGES)
