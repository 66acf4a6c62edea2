"""The content type that a request declares for a file."""

import re

# What clients send that do not know the type: RFC 2046, object stores, and forms, whose parts are
# text/plain unless they say otherwise (RFC 7578, section 4.4).
UNKNOWN = {
    "application/octet-stream",
    "application/x-www-form-urlencoded",
    "binary/octet-stream",
    "text/plain",
}
TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,63}/[a-z0-9!#$&^_.+-]{1,63}", re.IGNORECASE)


def declared_type(content_type: str) -> str:
    """The declared type without parameters. Empty if the header declares none: it names no type, or
    a group of types such as image/*, or one that stands for any file."""
    name = plain_type(content_type)
    return name if TYPE.fullmatch(name) and name.lower() not in UNKNOWN else ""


def plain_type(content_type: str) -> str:
    """A type without parameters."""
    return content_type.partition(";")[0].strip()
