"""The caller of the current call: set by the gate, read by servicers."""

from contextvars import ContextVar

from media_service.access.principal import Principal

current_principal: ContextVar[Principal] = ContextVar("current_principal")


def caller() -> Principal:
    return current_principal.get()
