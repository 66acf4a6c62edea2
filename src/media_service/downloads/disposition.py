"""Content-Disposition: whether a browser shows content, and the file name for saving it."""

import re
from urllib.parse import quote

# Types that a browser may show. Anything else could run scripts on our origin.
INLINE = re.compile(
    r"(image/(?!svg)|video/|audio/|text/vtt|application/(pdf|vnd\.apple\.mpegurl|dash\+xml)$)"
)


def content_disposition(filename: str, content_type: str, *, attachment: bool) -> str:
    """RFC 6266: an ASCII name for old clients, and the exact one in UTF-8 (RFC 8187) if it differs.
    Clients strip spaces at the ends of the ASCII name, so such names need the other too."""
    kind = "inline" if INLINE.match(content_type) and not attachment else "attachment"
    if not filename:
        return kind
    plain = re.sub(r'[^ !#-\[\]-~]|[%"\\]|^ | \Z', "_", filename)
    encoded = quote(filename, safe="!#$&+-.^_`|~")
    if plain == filename:
        return f'{kind}; filename="{plain}"'
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{encoded}"
