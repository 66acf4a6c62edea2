"""The names of resources and grantees in grants."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from media_service.access.owner import Owner
from media_service.errors import InvalidArgument, Reason

EVERYBODY = "everybody"
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
PROJECT = r"[a-z0-9][a-z0-9_-]{0,62}"
ORGANIZATION = r"[^/\0]{1,255}"
OWNER = re.compile(r"([^/\0]{0,255})/([a-z][a-z0-9_-]{0,31}):([^\0]{1,512})", re.DOTALL)
RESOURCES = {
    "media": re.compile(UUID),
    "project": re.compile(PROJECT),
    "collection": re.compile(UUID),
    "organization": re.compile(ORGANIZATION),
    "owner": OWNER,
    "service": re.compile(""),
}
FORMS = {
    "media": "media:ID",
    "project": "project:ID",
    "collection": "collection:ID",
    "organization": "organization:ID",
    "owner": "owner:ORG/TYPE:ID",
    "service": "service:",
}
GRANTEES = {
    "user": re.compile(r"[^\0]{1,512}", re.DOTALL),
    "service_account": re.compile(r"[^\0]{1,512}", re.DOTALL),
    "group": re.compile(PROJECT),
    "project": re.compile(PROJECT),
    "organization": re.compile(ORGANIZATION),
}
# Both are in a key of an index.
MAX_BYTES = 1200


@dataclass(frozen=True, slots=True)
class Resource:
    """`kind`: one of `RESOURCES`. `id`: empty for the installation."""

    kind: str
    id: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"

    @property
    def owner(self) -> Owner:
        """Of a resource of the kind "owner"."""
        found = OWNER.fullmatch(self.id)
        assert found  # noqa: S101 - `parse_resource` has checked it
        return Owner(found[2], found[3], found[1])


INSTALLATION = Resource("service", "")


def parse_resource(
    text: str, field: str = "resource", kinds: Sequence[str] = tuple(RESOURCES)
) -> Resource:
    """`field`: of the request. `kinds`: those that it may have. Raises InvalidArgument
    (INVALID_FIELD)."""
    kind, _, rest = text.partition(":")
    if kind in {"media", "collection"}:
        rest = rest.lower()
    pattern = RESOURCES[kind] if kind in kinds else None
    if pattern is None or not pattern.fullmatch(rest) or too_long(text) or ":" not in text:
        raise invalid(field, [FORMS[each] for each in kinds])
    return Resource(kind, rest)


def check_grantee(text: str) -> None:
    """Raises InvalidArgument (INVALID_FIELD)."""
    kind, _, rest = text.partition(":")
    pattern = GRANTEES.get(kind)
    if text != EVERYBODY and (pattern is None or not pattern.fullmatch(rest) or too_long(text)):
        raise invalid("grantee", (*(f"{kind}:ID" for kind in GRANTEES), EVERYBODY))


def check_member(text: str) -> None:
    """Checks the name of a member of a group. Raises InvalidArgument (INVALID_FIELD)."""
    kind, _, rest = text.partition(":")
    kinds = ("user", "service_account")
    if kind not in kinds or not GRANTEES[kind].fullmatch(rest) or too_long(text):
        raise invalid("member", [f"{kind}:ID" for kind in kinds])


def too_long(text: str) -> bool:
    return len(text.encode()) > MAX_BYTES


def invalid(field: str, forms: Sequence[str]) -> InvalidArgument:
    why = f"must be one of {', '.join(forms)}, of at most {MAX_BYTES} bytes"
    return InvalidArgument(Reason.INVALID_FIELD, f"The {field} {why}.", ((field, why),))
