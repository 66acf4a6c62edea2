"""Issuers of access tokens, as MEDIA_JWT_ISSUERS lists them: a JSON or TOML document, or the path
of a file with one.

A ValueError here completes the sentence "the setting must be ...".
"""

import json
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from media_service.nearest import nearest

MAX_ISSUERS = 100
MAX_FILE_BYTES = 1 << 20
MAX_LEEWAY_SECONDS = 300
DEFAULT_LEEWAY_SECONDS = 30
# A URL without a user name and password, which would not be used, and would be in errors.
LOCATION = re.compile(r"(https?://[^/?#@\s]+([/?#]\S*)?|file:///[^\s]+)")
# A URL, so that no subject of the service's own issuer looks like a user of another issuer.
ISSUER = re.compile(r"[a-z][a-z0-9+.-]*://[^\s|]+")
DOCUMENT = "a JSON or TOML document with a list `issuers`, or the absolute path of a file with one"


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """The claims that a principal is read from. A name with dots leads into objects, unless a claim
    has the whole name. An empty name: no claim is read."""

    subject: str = "sub"
    organization: str = "org"
    roles: str = "roles"
    scope: str = "scope"


@dataclass(frozen=True, slots=True)
class Issuer:
    """An issuer of tokens. `issuer`: its `iss`. `jwks`: the URL of its public keys. `audience`: the
    values of which `aud` must have one. `leeway_seconds`: how far its clock may be off."""

    issuer: str
    jwks: str
    audience: tuple[str, ...]
    leeway_seconds: int = DEFAULT_LEEWAY_SECONDS
    claims: ClaimNames = ClaimNames()


@dataclass(frozen=True, slots=True)
class AdminClaim:
    """The claim that makes an administrator: a string that equals `value`, or a list that has it.
    `issuer`: whose tokens may have it; empty: those of the service's own issuer."""

    name: str
    value: str
    issuer: str = ""

    @classmethod
    def parse(cls, text: str) -> Self | None:
        if not text:
            return None
        match = re.fullmatch(r"(?:([^\s=]+://\S+)\s+)?([^\s=]+)=(\S+)", text)
        if not match:
            raise ValueError("CLAIM=VALUE, or ISSUER CLAIM=VALUE, such as roles=media-admin")
        return cls(match[2], match[3], match[1] or "")

    def __str__(self) -> str:
        return f"{self.issuer} {self.name}={self.value}".strip()


def parse_issuers(text: str) -> tuple[Issuer, ...]:
    if not text:
        return ()
    found = document(text)
    entries = found.get("issuers") if isinstance(found, dict) else found
    if not isinstance(entries, list) or not 0 < len(entries) <= MAX_ISSUERS:
        raise ValueError(f"{DOCUMENT}, of 1 to {MAX_ISSUERS} issuers")
    issuers = tuple(issuer_from(entry, f"issuers[{at}]") for at, entry in enumerate(entries))
    if len({each.issuer for each in issuers}) < len(issuers):
        raise ValueError("a list in which no issuer occurs twice")
    return issuers


def document(text: str) -> Any:
    if text[0] not in "[{":
        text = read(text)
    for parse in (json.loads, tomllib.loads):
        try:
            return parse(text)
        except (ValueError, RecursionError):
            continue
    raise ValueError(DOCUMENT)


def read(path: str) -> str:
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError):
        raise ValueError(f"{DOCUMENT}, and this file cannot be read") from None
    if len(text) > MAX_FILE_BYTES:
        raise ValueError(f"{DOCUMENT}, of at most 1 MiB")
    return text


def issuer_from(entry: Any, where: str) -> Issuer:
    table = known(entry, [spec.name for spec in fields(Issuer)], where)
    issuer = string(table, "issuer", where)
    if not ISSUER.fullmatch(issuer):
        raise ValueError(f"a list whose {where}.issuer is a URL without `|`, as in `iss`")
    jwks = string(table, "jwks", where)
    if not LOCATION.fullmatch(jwks):
        raise ValueError(
            f"a list whose {where}.jwks is a URL that begins with https://, http:// or file:///,"
            " without a user name and password"
        )
    audience = table.get("audience")
    audiences: list[Any] = audience if isinstance(audience, list) else [audience]
    if not audiences or not all(isinstance(one, str) and one for one in audiences):
        raise ValueError(f"a list whose {where}.audience is a string or a list of strings")
    leeway = table.get("leeway_seconds", DEFAULT_LEEWAY_SECONDS)
    if type(leeway) is not int or not 0 <= leeway <= MAX_LEEWAY_SECONDS:
        raise ValueError(
            f"a list whose {where}.leeway_seconds is a whole number from 0 to {MAX_LEEWAY_SECONDS}"
        )
    where = f"{where}.claims"
    names = known(table.get("claims", {}), [spec.name for spec in fields(ClaimNames)], where)
    if not all(isinstance(name, str) for name in names.values()) or names.get("subject") == "":
        raise ValueError(f"a list whose {where} has names of claims")
    return Issuer(issuer, jwks, tuple(audiences), leeway, ClaimNames(**names))


def string(table: Mapping[str, Any], name: str, where: str) -> str:
    value = table.get(name)
    if not isinstance(value, str):
        raise ValueError(f"a list whose {where}.{name} is a string")
    return value


def known(entry: Any, names: Collection[str], where: str) -> dict[str, Any]:
    """The entry, if it is a table with no other names than these."""
    if not isinstance(entry, dict):
        raise ValueError(f"a list whose {where} is a table")
    for name in entry:
        if name not in names:
            meant = nearest(name, sorted(names))
            hint = f"did you mean {meant}?" if meant else f"the names are {', '.join(names)}"
            raise ValueError(f"a list whose {where} has only known names; {hint}")
    return entry


def issuers_text(issuers: Sequence[Issuer]) -> str:
    """A document that `parse_issuers` reads."""
    return json.dumps([asdict(issuer) for issuer in issuers]) if issuers else ""
