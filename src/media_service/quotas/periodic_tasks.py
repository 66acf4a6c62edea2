"""Compares the ledger with the rows that it counts, and logs which soft limits are exceeded."""

import logging
from datetime import timedelta

from media_service.db.database import Database
from media_service.jobs.periodic import HOUR, MINUTE, Batches, PeriodicTask
from media_service.quotas import queries
from media_service.quotas.ledger import recalculated
from media_service.sharing.resources import parse_resource

log = logging.getLogger(__name__)

AGE = timedelta(days=1)
BATCH = 100


async def recalculate_quotas(database: Database) -> Batches:
    """Counts each account once a day, and corrects its ledger if it differs. Removes those without
    limits, whose process died before it had set them."""
    while True:
        async with database.transaction() as tx:
            account = await queries.due(tx, AGE)
        if account is None:
            return
        resource = parse_resource(account)
        async with recalculated(database, resource) as (tx, drifts):
            abandoned = await queries.remove_unlimited(tx, resource)
        for drift in () if abandoned else drifts:
            log.warning("the quota %s of %s: %s", drift.measure, account, drift.explanation)
        yield 1 if drifts else 0


async def log_soft_limits(database: Database) -> Batches:
    """Logs each time that an account has gone beyond a soft limit, once."""
    while True:
        async with database.connection() as db:
            found = await queries.to_log(db, BATCH)
        exceeded = [each for each in found if each[2].soft_exceed_time]
        for account, measure, entry in exceeded:
            log.warning(
                "the soft limit of %s of %s is exceeded: %d of %d",
                *(measure, account, entry.amount.total, entry.limits.soft or 0),
            )
        yield len(exceeded)
        if len(found) < BATCH:
            return


TASKS = (
    PeriodicTask("corrected quotas", HOUR, recalculate_quotas),
    PeriodicTask("exceeded soft limits", MINUTE, log_soft_limits),
)
