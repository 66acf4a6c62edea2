"""Decides whose job a worker claims next."""

from collections.abc import Collection
from datetime import timedelta

from media_service.access.owner import Owner
from media_service.db.transaction import Connection
from media_service.jobs import queries
from media_service.jobs.model import Claim

NOBODY = Owner("", "")


class FairQueue:
    """Alternates between the jobs of the service itself and those of owners, and among owners in a
    circle, so that nobody's many jobs delay the few of others."""

    def __init__(self) -> None:
        self._service_next = False
        self._last = NOBODY

    async def claim(
        self, db: Connection, lease: timedelta, running: Collection[Claim], *, heavy: bool = True
    ) -> Claim | None:
        """Claims the next job; None if there is none. `running`: what this worker runs now.
        `heavy`: whether heavy jobs may be claimed."""
        of_service = sum(claim.owner is None for claim in running)
        of_owners = len(running) - of_service
        service_first = of_service < of_owners or (of_service == of_owners and self._service_next)
        for service in (service_first, not service_first):
            claim = (
                await queries.claim_of_service(db, lease)
                if service
                else await queries.claim_of_owners(db, lease, self._last, heavy=heavy)
            )
            if claim is not None:
                self._service_next = claim.owner is not None
                self._last = claim.owner or self._last
                return claim
        return None
