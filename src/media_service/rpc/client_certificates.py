"""Client certificates: the service account that a certificate stands for.

A certificate comes from the TLS connection itself, or in the header `x-forwarded-client-cert` of a
trusted proxy. The sender has verified it against the certificate authorities.
"""

import ipaddress
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import unquote

import grpc

from media_service.config import Network
from media_service.errors import Reason, Unauthenticated

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

HEADER = "x-forwarded-client-cert"
# Of gRPC's authentication context: the names of the verified certificate.
URI, DNS = "peer_uri", "peer_dns"
# A part of the header up to a separator, which quotes may contain.
PART = r'(?:[^{separator}"]|"(?:[^"\\]|\\.)*")+'
ELEMENT, PAIR = re.compile(PART.format(separator=",")), re.compile(PART.format(separator=";"))


@dataclass(frozen=True, slots=True)
class Certificate:
    """A verified certificate of a service account."""

    service_account_id: str


class ClientCertificates:
    """`accounts`: the ids of service accounts by the URIs and DNS names of their certificates.
    `proxies`: the networks of proxies whose header is believed."""

    def __init__(self, accounts: Mapping[str, str], proxies: Sequence[Network]) -> None:
        self._accounts = accounts
        self._proxies = proxies

    def of(self, context: Context) -> Certificate | None:
        """The certificate of a call; None if it has none.

        Raises Unauthenticated (TOKEN_INVALID) if it does not stand for one service account.
        """
        if not self._accounts:
            return None
        names = set(self._names(context))
        if not names:
            return None
        found = {self._accounts[name] for name in names if name in self._accounts}
        if len(found) != 1:
            raise Unauthenticated(
                Reason.TOKEN_INVALID,
                "The URIs and DNS names of the client certificate stand for"
                f" {'several service accounts' if found else 'no service account'}. The operator"
                " maps them with MEDIA_CLIENT_CERTIFICATES.",
            )
        return Certificate(found.pop())

    def _names(self, context: Context) -> Iterator[str]:
        verified = context.auth_context()
        for kind in (URI, DNS):
            for name in verified.get(kind, ()):
                yield plain_name(kind, name.decode(errors="replace"))
        if self._proxies and in_networks(str(context.peer()), self._proxies):
            for key, value in context.invocation_metadata() or ():
                if key == HEADER and isinstance(value, str):
                    yield from forwarded_names(value)


def in_networks(peer: str, networks: Collection[Network]) -> bool:
    """Whether gRPC's name of a peer, "ipv4:192.0.2.1:50000" or "ipv6:%5B2001:db8::1%5D:50000", is
    in a network."""
    _, _, rest = unquote(peer).partition(":")
    try:
        address = ipaddress.ip_address(rest.rpartition(":")[0].strip("[]"))
    except ValueError:
        return False  # a Unix socket
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return any((mapped or address) in network for network in networks)


def forwarded_names(header: str) -> Iterator[str]:
    """The URIs and DNS names of the last certificate in the header, which is that of the client
    that called the trusted proxy. Those before it are what that client says of its own clients."""
    elements = ELEMENT.findall(header)
    for pair in PAIR.findall(elements[-1]) if elements else ():
        key, _, value = pair.strip().partition("=")
        if len(value) > 1 and value[0] == value[-1] == '"':
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        if kind := {"uri": URI, "dns": DNS}.get(key.lower()):
            yield plain_name(kind, value)


def plain_name(kind: str, name: str) -> str:
    """The name as settings have it. A DNS name that looks like a URI is none, and the reverse."""
    if (kind == URI) is not ("://" in name):
        return ""
    return name if kind == URI else name.lower()
