"""What is nobody's fault but ours."""


class SandboxBroken(Exception):
    """The service is at fault, or the machine, not the media. So it may work another time."""
