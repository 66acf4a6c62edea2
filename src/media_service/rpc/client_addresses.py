"""The addresses of clients, as the peers of connections and Envoy tell them."""

import logging
from collections.abc import Sequence
from contextvars import ContextVar
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network
from typing import Any
from urllib.parse import unquote

from media_service.config import Network
from media_service.rpc.client_certificates import in_networks

log = logging.getLogger(__name__)

HEADER = "x-client-address"
# Of connections, whose answers are remembered.
MAX_PEERS = 1000

# Of the client of the current call: set by the gates.
current_address: ContextVar[str] = ContextVar("current_address")


class ClientAddresses:
    """`envoys`: the networks of Envoy. Only Envoy is believed when it names the address of a client
    (see envoy.yaml); other clients of the gRPC port could name any."""

    def __init__(self, envoys: Sequence[Network]) -> None:
        self._is_envoy = lru_cache(MAX_PEERS)(lambda host: in_networks(f"{host}:0", envoys))
        self._warned = False

    def of(self, context: Any) -> str:
        """The IP address of a call's client: what Envoy says, or else that of the peer."""
        host = str(context.peer()).rpartition(":")[0]
        for key, value in context.invocation_metadata() or ():
            if key == HEADER:
                if self._is_envoy(host):
                    return str(value)
                self._warn(host)
        return host

    def _warn(self, host: str) -> None:
        if not self._warned:
            self._warned = True
            log.warning(
                "%s sends %s, and is ignored because it is not in MEDIA_ENVOY_ADDRESSES. If it is"
                " Envoy, add its address: until then, all its clients share one rate limit.",
                *(unquote(host), HEADER),
            )


def network_of(address: str) -> str:
    """An IPv4 address, or the /64 network of an IPv6 address: one client has all of its
    addresses."""
    if address.count(":") < 2:
        return address
    try:
        found = IPv6Address(unquote(address.removeprefix("ipv6:")).strip("[]"))
    except ValueError:
        return address
    return str(found.ipv4_mapped or IPv6Network((int(found), 64), strict=False))
