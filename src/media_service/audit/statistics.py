"""Statistics by day, so that no question reads the log itself."""

from dataclasses import replace

from media_service.audit.model import Analytics, DayUsage, Scope, Usage
from media_service.audit.people import People
from media_service.audit.queries import statistics as queries
from media_service.audit.queries.statistics import DENIED, Group
from media_service.db.database import Database
from media_service.jobs.periodic import Batches

BATCH = 5000


async def roll_up(database: Database) -> Batches:
    """Adds new entries to their days, each exactly once. Entries are taken in the order of the
    transactions that wrote them, and only when no earlier transaction is open."""
    while True:
        async with database.transaction() as tx:
            if (span := await queries.take(tx, BATCH)) is None:
                return
            added = await queries.groups(tx, *span)
            before = {group.key: group for group in await queries.known(tx, added)}
            await queries.put(tx, [summed(group, before.get(group.key)) for group in added])
            await queries.advance(tx, span[1])
        count = sum(group.requests for group in added if group.scope == Scope.MEDIA)
        yield count
        if not added:
            return


def summed(added: Group, before: Group | None) -> Group:
    people = People.of(added.people or ())
    if before is None:
        return replace(added, people=people.to_bytes())
    people.merge(People.from_bytes(before.people))
    return replace(
        added,
        requests=added.requests + before.requests,
        views=added.views + before.views,
        downloads=added.downloads + before.downloads,
        bytes=added.bytes + before.bytes,
        people=people.to_bytes(),
    )


async def analytics(database: Database, scope: Scope, scope_id: str, days: int) -> Analytics:
    """What was done in the last `days` days. People who were refused do not count as users."""
    async with database.connection() as db:
        found = await queries.of_period(db, scope, scope_id, days)
    people = People()
    for group in found:
        if group.action != DENIED:
            people.merge(People.from_bytes(group.people))
    total = Usage(
        sum(group.requests for group in found),
        sum(group.views for group in found),
        sum(group.downloads for group in found),
        sum(group.bytes for group in found),
        len(people),
    )
    return Analytics(total, [DayUsage(g.day, g.action, usage_of(g)) for g in found])


def usage_of(group: Group) -> Usage:
    people = len(People.from_bytes(group.people))
    return Usage(group.requests, group.views, group.downloads, group.bytes, people)
