"""The caller of the current call: set by the gate, read by servicers."""

from contextvars import ContextVar
from typing import Any

from media_service.access.owner import Owner
from media_service.access.principal import Principal
from media_service.rpc import http

current_principal: ContextVar[Principal] = ContextVar("current_principal")


def caller() -> Principal:
    return current_principal.get()


def owner_of(context: Any) -> Owner:
    """The owner of what a call takes up: the caller, or without a token the client's address."""
    principal = current_principal.get(None)
    return principal.owner if principal else Owner("address", http.client_address(context))
