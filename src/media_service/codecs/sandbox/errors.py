"""Errors of the sandbox itself."""


class SandboxBroken(Exception):
    """A bug in the service or a failure of the machine, not of the media. A retry may succeed."""
