"""Errors of the sandbox itself."""


class SandboxBroken(Exception):
    """A bug of the service or a failure of the machine, not of the media; a retry may succeed."""
