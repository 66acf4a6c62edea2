"""Parameters of a header's value, such as those of Content-Disposition: `form-data; name="file"`.

The cost is proportional to the length of the value. Python's `email` package takes time in the
square of it, and fails on some malformed values with errors of its own.
"""

import re
from collections.abc import Mapping
from itertools import islice
from urllib.parse import unquote_to_bytes

# The rest of a header with more parameters is ignored.
MAX_PARAMETERS = 20
# Possessive quantifiers: no backtracking over long values.
PARAMETER = re.compile(r';\s*+([^\s=;"]++)\s*+=\s*+("(?:[^"\\]|\\.)*+"|[^;]*+)', re.DOTALL)
ESCAPED = re.compile(r'\\(["\\])')


def parameters(value: str) -> Mapping[str, str]:
    """The parameters of a header's value by lower-case name. Of a repeated one, the first counts.

    `name*=CHARSET'LANGUAGE'TEXT` (RFC 8187) replaces `name`. Raises ValueError if the text is not
    in its character set.
    """
    found: dict[str, str] = {}
    for parameter in islice(PARAMETER.finditer(value), MAX_PARAMETERS):
        found.setdefault(parameter[1].lower(), unquoted(parameter[2].strip()))
    for name in [name for name in found if name.endswith("*")]:
        found[name.removesuffix("*")] = decoded(found.pop(name))
    return found


def unquoted(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return ESCAPED.sub(r"\1", text[1:-1])
    return text


def decoded(text: str) -> str:
    """A text in the encoding of RFC 8187. An unknown character set is ignored."""
    charset, mark, rest = text.partition("'")
    encoded = unquote_to_bytes(rest.partition("'")[2] if mark else text)
    try:
        text = encoded.decode(charset if mark else "utf-8")
    except LookupError:
        text = encoded.decode("utf-8", "replace")
    text.encode()  # raises ValueError: some character sets can encode half of a character
    return text
