"""Selects the owner whose job a worker claims next."""

from collections.abc import Collection, Sequence
from datetime import timedelta

from cachetools import LRUCache

from media_service.access.owner import Owner
from media_service.db.transaction import Connection
from media_service.jobs.model import Claim, JobKind
from media_service.jobs.queries import claiming, owner_turns

NOBODY = Owner("", "")
# Of more organizations, those that were served last are remembered.
MAX_REMEMBERED = 1000


class FairQueue:
    """Alternates between jobs of the service itself and jobs of owners, and serves owners
    round-robin: first tenants, then the owners in an organization. Therefore, many jobs of one
    owner do not delay the few jobs of others, and many owners of one organization do not delay
    other organizations. `skipped`: kinds of jobs that other workers run.
    `holds_slots`: whether jobs run in the slots of a worker."""

    def __init__(self, skipped: Collection[JobKind] = (), *, holds_slots: bool = True) -> None:
        self._skipped = skipped
        self._holds_slots = holds_slots
        self._service_next = False
        self._last = NOBODY
        # The last owner of each organization.
        self._last_members: LRUCache[str, Owner] = LRUCache(MAX_REMEMBERED)

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
                await claiming.claim_of_service(db, lease, skipped=self._skipped)
                if service
                else await self.claim_of_owners(db, lease, heavy=heavy)
            )
            if claim is not None:
                self._service_next = claim.owner is not None
                return claim
        return None

    async def claim_of_owners(
        self, db: Connection, lease: timedelta, *, heavy: bool
    ) -> Claim | None:
        """Claims a job that has an owner."""
        skipped = self._skipped
        for tenant in await owner_turns.next_tenants(db, self._last, heavy=heavy, skipped=skipped):
            for owner in await self._owners(db, tenant, heavy=heavy):
                claim = await owner_turns.claim_of_owner(
                    db,
                    lease,
                    owner,
                    heavy=heavy,
                    skipped=skipped,
                    holds_slot=self._holds_slots,
                )
                if claim is not None:
                    self._last = tenant
                    if tenant.org_id:
                        self._last_members[tenant.org_id] = owner
                    return claim
        return None

    async def _owners(self, db: Connection, tenant: Owner, *, heavy: bool) -> Sequence[Owner]:
        """The owners of a tenant, in the order of their turns."""
        if not tenant.org_id:
            return [tenant]
        after = self._last_members.get(tenant.org_id, tenant)
        return await owner_turns.next_members(db, after, heavy=heavy, skipped=self._skipped)
