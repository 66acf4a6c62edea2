"""When there is too little memory."""

# libvips, librsvg and libtiff; libjpeg; libheif; libvips elsewhere.
WORDS = ("out of memory", "insufficient memory", "memory allocation", "failed to allocate")


def is_short(complaint: str) -> bool:
    """Whether a library complains of too little memory. Each has its own words for it."""
    return any(words in complaint.lower() for words in WORDS)
