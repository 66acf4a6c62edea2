"""Limits how many uploads of an owner are unfinished at a time."""

import asyncio
from collections import Counter
from typing import Self
from weakref import WeakValueDictionary

from cachetools import TTLCache

from media_service.access.owner import Owner
from media_service.access.principal import LINK, Principal
from media_service.db.database import Database
from media_service.errors import Reason, ResourceExhausted
from media_service.uploads import queries

# How long a process relies on its own count. Within this time, several servers may admit some more.
RECOUNT_SECONDS = 10.0
# Of more owners, those that came last are remembered.
MAX_OWNERS = 10_000


class OpenUploads:
    """Counts the rows of an owner at most every `RECOUNT_SECONDS`, and adds what this process
    admits, so that a new upload costs no query."""

    def __init__(self, database: Database, most: int) -> None:
        self._database = database
        self._most = most
        self._recorded: TTLCache[Owner, int] = TTLCache(MAX_OWNERS, RECOUNT_SECONDS)
        # Uploads that were admitted and have no rows yet.
        self._pending: Counter[Owner] = Counter()
        # Uploads whose rows were added while the rows of the owner are counted.
        self._meanwhile: dict[Owner, int] = {}
        # Admissions of an owner take turns, because each changes what the next one may have.
        self._turns: WeakValueDictionary[Owner, asyncio.Lock] = WeakValueDictionary()

    async def admit(self, principal: Principal, owner: Owner, new: int) -> "Admitted":
        """Raises ResourceExhausted (UPLOAD_LIMIT_EXCEEDED) if the owner would have more than the
        maximum."""
        owner = sharing_owner(principal, owner)
        async with self._turns.setdefault(owner, asyncio.Lock()):
            recorded = self._recorded.get(owner)
            if recorded is None or recorded + self._pending[owner] + new > self._most:
                recorded = await self._count(owner)
            found = recorded + self._pending[owner]
            if found + new > self._most:
                raise ResourceExhausted(
                    Reason.UPLOAD_LIMIT_EXCEEDED,
                    f"The owner has {found} unfinished uploads; the maximum is {self._most}."
                    " Complete some, or abort them.",
                    limit=self._most,
                )
            self._pending[owner] += new
        return Admitted(self, owner, new)

    async def _count(self, owner: Owner) -> int:
        self._meanwhile[owner] = 0
        try:
            async with self._database.connection() as db:
                counted = await queries.count_open(db, owner, self._most)
        finally:
            meanwhile = self._meanwhile.pop(owner)
        self._recorded[owner] = counted + meanwhile
        return counted + meanwhile

    def end(self, owner: Owner, admitted: int, *, recorded: bool) -> None:
        """Ends an admission. `recorded`: the uploads have rows now."""
        self._pending[owner] -= admitted
        if not self._pending[owner]:
            del self._pending[owner]
        if not recorded:
            return
        if owner in self._meanwhile:
            self._meanwhile[owner] += admitted
        elif owner in self._recorded:
            self._recorded[owner] += admitted


class Admitted:
    """Uploads that count for their owner until the end of the context, or until they have rows."""

    def __init__(self, uploads: OpenUploads, owner: Owner, count: int) -> None:
        self._uploads = uploads
        self._owner = owner
        self._count = count

    def recorded(self) -> None:
        self._end(recorded=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end(recorded=False)

    def _end(self, *, recorded: bool) -> None:
        count, self._count = self._count, 0
        if count:
            self._uploads.end(self._owner, count, recorded=recorded)


def sharing_owner(principal: Principal, owner: Owner) -> Owner:
    """Whose limit counts: a service account shares that of the user or the organization that it
    belongs to. Guests have a limit of their own, that of their share link."""
    if principal.type == LINK:
        return principal.owner
    if not principal.account or (owner.type, owner.id) != (principal.type, principal.id):
        return owner
    return Owner(principal.charged.type, principal.charged.id, principal.org_id)
