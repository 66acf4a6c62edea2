"""Whether a browser may show content in place, and under which name it is saved."""

import re
from urllib.parse import quote

# What a browser may show in place; anything else might run scripts on our origin.
INLINE = re.compile(
    r"(image/(?!svg)|video/|audio/|text/vtt|application/(pdf|vnd\.apple\.mpegurl|dash\+xml)$)"
)


def content_disposition(filename: str, content_type: str, *, attachment: bool) -> str:
    """RFC 6266: an ASCII name for old clients, the real one in UTF-8 (RFC 8187). Clients strip
    spaces at the ends of the plain one, so names that have them need the other too."""
    kind = "inline" if INLINE.match(content_type) and not attachment else "attachment"
    if not filename:
        return kind
    plain = re.sub(r'[^ !#-\[\]-~]|[%"\\]|^ | \Z', "_", filename)
    encoded = quote(filename, safe="!#$&+-.^_`|~")
    if plain == filename:
        return f'{kind}; filename="{plain}"'
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{encoded}"
