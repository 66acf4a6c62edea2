"""Corrects ledgers while others go on charging them.

Counting millions of rows takes seconds, so nothing is locked meanwhile. What counts is the
difference between the rows and the ledger, both as of one moment: whatever is charged after it
changes both. A new ledger is one that differs by all that was charged before it began.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from media_service.db.database import Database, unavailable
from media_service.db.transaction import Transaction
from media_service.quotas import queries
from media_service.quotas.model import Drift, Measure
from media_service.sharing.resources import Resource

# Another try follows only if another process has corrected the same ledger meanwhile, or if a month
# has begun.
TRIES = 5


async def begin(database: Database, account: Resource) -> None:
    """Adds what the ledger of an account lacks: the measures that the previous version did not
    know, or all. Its correction follows."""
    async with database.transaction() as tx:
        await queries.begin(tx, account)


@asynccontextmanager
async def corrected(
    database: Database, account: Resource
) -> AsyncIterator[tuple[Transaction, Sequence[Drift]]]:
    """A transaction that has locked and corrected the ledger of an account, and where it was wrong.
    Raises Unavailable."""
    for _ in range(TRIES):
        async with database.long_connection() as db:
            comparison = await queries.compare(db, account)
        async with database.transaction() as tx:
            found = await queries.lock_account(tx, account)
            if await queries.mark(tx, account) != comparison.mark:
                continue
            drifts = comparison.drifts if found else ()
            for drift in drifts:
                amount = drift.correct(found[drift.measure].amount)
                await queries.correct(tx, account, drift.measure, amount)
            yield tx, drifts
            return
    raise unavailable()


@asynccontextmanager
async def recalculated(
    database: Database, account: Resource
) -> AsyncIterator[tuple[Transaction, Sequence[Drift]]]:
    """Like `corrected`, for an account that may have no ledger, or one that lacks measures."""
    async with database.connection() as db:
        found = await queries.entries(db, account)
    if not found:
        async with database.transaction() as tx:
            yield tx, ()
        return
    if len(found) < len(Measure):
        await begin(database, account)
    async with corrected(database, account) as (tx, drifts):
        yield tx, drifts
