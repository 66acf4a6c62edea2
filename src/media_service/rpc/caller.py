"""The caller of the current call: set by the gate, read by servicers."""

from contextvars import ContextVar

from media_service.access.owner import Owner
from media_service.access.principal import Principal
from media_service.rpc.client_addresses import current_address

current_principal: ContextVar[Principal] = ContextVar("current_principal")


def caller() -> Principal:
    return current_principal.get()


def charged() -> Owner:
    """Who is charged for what a call takes up: see `Principal.charged`; without a token, the
    client's address."""
    principal = current_principal.get(None)
    return principal.charged if principal else Owner("address", current_address.get())
