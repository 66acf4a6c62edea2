"""Where webhooks may go: to the public internet, and to the networks that the operator names.

The address in a URL is checked when it is set, and every address at each connection, after the name
was resolved: see `sender.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from yarl import URL

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

HTTPS_PORT = 443
# Below are services that take commands in clear text, such as mail.
FIRST_PORT = 1024
MAX_URL = 2000
# The only IPv6 addresses of the public internet, without those that carry an IPv4 address.
UNICAST = ip_network("2000::/3")
TRANSITION = ip_network("2002::/16")


class NotAllowed(ValueError):
    """The message says what a URL or an address must be."""


@dataclass(frozen=True, slots=True)
class Destinations:
    """`private`: networks that webhooks may also reach, with http, and on every port."""

    private: Sequence[Network] = ()

    def allow(self, address: str, port: int, *, encrypted: bool) -> bool:
        """Whether a connection to an address is allowed."""
        ip = plain(ip_address(address))
        if any(ip in network for network in self.private):
            return True
        return encrypted and is_public(ip) and allowed_port(port)

    def check(self, text: str) -> None:
        """Checks a URL, without resolving its name. Raises NotAllowed."""
        try:
            url = URL(text)
            host, port = url.host, url.port
        except ValueError:
            raise NotAllowed("must be a URL") from None
        encrypted = url.scheme == "https"
        if not host or port is None or not (encrypted or (url.scheme == "http" and self.private)):
            raise NotAllowed("must be a URL that begins with https://")
        if len(text) > MAX_URL or not text.isascii() or not text.isprintable() or " " in text:
            raise NotAllowed(f"must have at most {MAX_URL} printable ASCII characters, no spaces")
        if url.user is not None or url.password is not None or "#" in text:
            raise NotAllowed("must have no user, password or fragment")
        if not (self.private or allowed_port(port)):
            raise NotAllowed(f"must have the port {HTTPS_PORT}, or one from {FIRST_PORT} on")
        try:
            literal = str(ip_address(host))
        except ValueError:
            return  # a name, which is resolved at each connection
        if not self.allow(literal, port, encrypted=encrypted):
            raise NotAllowed("must not be a private address")


def allowed_port(port: int) -> bool:
    return port == HTTPS_PORT or port >= FIRST_PORT


def plain(ip: Address) -> Address:
    """The IPv4 address that an IPv6 socket would connect to."""
    return ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip


def is_public(ip: Address) -> bool:
    if ip.is_multicast or ip.is_reserved or not ip.is_global:
        return False
    return isinstance(ip, IPv4Address) or (ip in UNICAST and ip not in TRANSITION)
