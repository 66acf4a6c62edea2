"""Compares the ledger with the rows of uploads and media."""

import logging
from datetime import timedelta

from media_service.db.database import Database
from media_service.jobs.periodic import HOUR, Batches, PeriodicTask
from media_service.quotas import queries
from media_service.quotas.service import recalculate
from media_service.sharing.resources import parse_resource

log = logging.getLogger(__name__)

AGE = timedelta(days=1)


async def recalculate_quotas(database: Database) -> Batches:
    """Counts each account once a day, and corrects its ledger if it differs."""
    while True:
        async with database.transaction() as tx:
            account = await queries.due(tx, AGE)
            drifts = await recalculate(tx, parse_resource(account)) if account else ()
        for drift in drifts:
            log.warning("the quota %s of %s: %s", drift.measure, account, drift.explanation)
        yield 1 if drifts else 0
        if account is None:
            return


TASKS = (PeriodicTask("corrected quotas", HOUR, recalculate_quotas),)
