"""Selects the owner whose job a worker claims next."""

from collections.abc import Collection
from datetime import timedelta

from media_service.access.owner import Owner
from media_service.db.transaction import Connection
from media_service.jobs.model import Claim
from media_service.jobs.queries import claiming, owner_turns

NOBODY = Owner("", "")


class FairQueue:
    """Alternates between jobs of the service itself and jobs of owners, and serves owners
    round-robin. Therefore, many jobs of one owner do not delay the few jobs of others."""

    def __init__(self) -> None:
        self._service_next = False
        self._last = NOBODY

    async def claim(
        self, db: Connection, lease: timedelta, running: Collection[Claim], *, heavy: bool = True
    ) -> Claim | None:
        """Claims the next job. Returns None if there is none. `running` has the jobs that this
        worker runs now. `heavy` allows heavy jobs."""
        of_service = sum(claim.owner is None for claim in running)
        of_owners = len(running) - of_service
        service_first = of_service < of_owners or (of_service == of_owners and self._service_next)
        for service in (service_first, not service_first):
            claim = (
                await claiming.claim_of_service(db, lease)
                if service
                else await owner_turns.claim_of_owners(db, lease, self._last, heavy=heavy)
            )
            if claim is not None:
                self._service_next = claim.owner is not None
                self._last = claim.owner or self._last
                return claim
        return None
