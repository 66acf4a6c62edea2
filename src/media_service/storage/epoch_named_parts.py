"""Base class for drivers in which the name of a part contains the epoch of its writer."""


class EpochNamedParts:
    """Base class for drivers that need only one session per blob. A late part of a superseded
    writer has a name that nothing reads."""

    async def supersede(self, key: str, session: str, next_number: int) -> str:
        return session

    async def abort_unused(self, key: str, session: str, kept: str) -> None:
        """Both sessions are the same, so there is nothing to abort."""
