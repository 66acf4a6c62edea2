"""Builds the Content-Disposition header: whether a browser shows content, and the file name for
saving it."""

import re
from urllib.parse import quote

from media_service.media.filenames import clean

# Types that a browser may show. Other types could run scripts in the origin of this service.
INLINE = re.compile(
    r"(image/(?!svg)|video/|audio/|text/vtt|application/(pdf|vnd\.apple\.mpegurl|dash\+xml)$)"
)


def content_disposition(filename: str, content_type: str, *, attachment: bool) -> str:
    """Returns the header (RFC 6266) with an ASCII name for old clients and, if it differs, the
    exact name in UTF-8 (RFC 8187). Clients strip leading and trailing spaces of the ASCII name, so
    names with such spaces also need the UTF-8 form."""
    kind = "inline" if INLINE.match(content_type) and not attachment else "attachment"
    filename = clean(filename)  # of earlier releases
    if not filename:
        return kind
    plain = re.sub(r'[^ !#-\[\]-~]|[%"\\]|^ | \Z', "_", filename)
    encoded = quote(filename, safe="!#$&+-.^_`|~")
    if plain == filename:
        return f'{kind}; filename="{plain}"'
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{encoded}"
