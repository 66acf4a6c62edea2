"""The content type that a request declares for a file."""

import re

from media_service.media import content_type

# What HTTP clients send that do not know the type: curl for any body, and forms, whose parts are
# text/plain unless they say otherwise (RFC 7578, section 4.4).
UNKNOWN = {"application/x-www-form-urlencoded", "text/plain"}
TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,63}/[a-z0-9!#$&^_.+-]{1,63}", re.IGNORECASE)


def declared_type(header: str) -> str:
    """The declared type without parameters. Empty if the header declares none: it names no type, or
    a group of types such as image/*, or one that stands for any file."""
    name = plain_type(header)
    known = TYPE.fullmatch(name) and name.lower() not in UNKNOWN and content_type.declared(name)
    return name if known else ""


def plain_type(header: str) -> str:
    """A type without parameters."""
    return header.partition(";")[0].strip()
