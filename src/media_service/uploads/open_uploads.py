"""Limits how many uploads of an owner are unfinished at a time."""

from cachetools import TTLCache

from media_service.access.owner import Owner
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
        self._counted: TTLCache[Owner, list[int]] = TTLCache(MAX_OWNERS, RECOUNT_SECONDS)

    async def admit(self, owner: Owner, new: int) -> None:
        """Raises ResourceExhausted (UPLOAD_LIMIT_EXCEEDED) if the owner would have more than the
        maximum."""
        counted = self._counted.get(owner)
        if counted is None or counted[0] + new > self._most:
            async with self._database.connection() as db:
                counted = [await queries.count_open(db, owner, self._most)]
            self._counted[owner] = counted
        if counted[0] + new > self._most:
            raise ResourceExhausted(
                Reason.UPLOAD_LIMIT_EXCEEDED,
                f"The owner has {counted[0]} unfinished uploads; the maximum is {self._most}."
                " Complete some, or abort them.",
                limit=self._most,
            )
        counted[0] += new
