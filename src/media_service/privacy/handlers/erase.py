"""The job that erases a person."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from media_service.audit.queries import digests
from media_service.audit.repeats import WINDOW
from media_service.clock import now
from media_service.db.database import Database
from media_service.db.new_job import NewJob
from media_service.db.personal_data import Key, Person, PersonalRows, personal_rows
from media_service.db.transaction import Connection
from media_service.errors import Fault
from media_service.failpoints import failpoint
from media_service.jobs.handler import JobHandler
from media_service.jobs.model import Claim, JobKind, JobState
from media_service.jobs.progress import Progress
from media_service.jobs.queries import claimed_jobs
from media_service.privacy import queries
from media_service.privacy.model import ErasedRows, Erasure
from media_service.privacy.report import report_of

log = logging.getLogger(__name__)

# Processes write the last entries of the audit log so long after the calls: see `audit/repeats.py`.
SETTLED = WINDOW + timedelta(minutes=1)
NEXT_PASS = timedelta(minutes=1)
# When a job gives up, another one starts after this delay.
RETRY_DELAY = timedelta(hours=1)


class EraseHandler(JobHandler):
    """Runs ERASE jobs. The subject of a job is an erasure. Each job erases all tables once, in
    small transactions, each of which can be repeated. The last one has found nothing: neither rows
    nor bytes are left, and the audit log has settled."""

    kind = JobKind.ERASE

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self, claim: Claim, progress: Progress) -> None:
        start = now()
        erasure = await self._begin(claim)
        failpoint("erase.begin.after")
        found = 0
        if erasure:
            erasable = [rows for rows in personal_rows() if rows.erasable]
            for number, rows in enumerate(erasable):
                progress.report("erasing", 100 * number / len(erasable))
                found += await self._erase(claim, erasure, rows)
        failpoint("erase.finish.before")
        async with self._database.transaction() as tx:
            if not await claimed_jobs.finish(tx, claim, JobState.SUCCEEDED):
                return
            erasure = await queries.lock(tx, claim.subject_id)
            if erasure is None or erasure.end_time is not None:
                return
            await queries.add_pass(tx, erasure.erasure_id)
            settled = erasure.create_time + SETTLED
            waiting = await queries.removals_waiting(tx, erasure.create_time, start)
            ended = not (found or waiting or start < settled or await self._left(tx, erasure))
            if ended:
                time = await queries.transaction_time(tx)
                report = report_of(erasure, time, await digests.last(tx))
                await queries.end(tx, erasure.erasure_id, report)
                failpoint("erase.end.before")
            else:
                delay = max(settled - now(), NEXT_PASS)
                await tx.enqueue(NewJob(JobKind.ERASE, erasure.erasure_id, delay=delay))
        if ended:
            failpoint("erase.end.after")
        else:
            failpoint("erase.repeat.after")

    async def give_up(self, claim: Claim, fault: Fault) -> None:
        log.error("cannot go on with erasure %s: %s", claim.subject_id, fault.message)
        async with self._database.transaction() as tx:
            if await claimed_jobs.finish(tx, claim, JobState.FAILED, fault):
                await tx.enqueue(NewJob(JobKind.ERASE, claim.subject_id, delay=RETRY_DELAY))
        failpoint("erase.give-up.after")

    async def _begin(self, claim: Claim) -> Erasure | None:
        """Adds the service accounts of the user, because they are erased as well."""
        async with self._database.transaction() as tx:
            erasure = await queries.lock(tx, claim.subject_id)
            if erasure is None or erasure.end_time is not None:
                return None
            names = list(erasure.names)
            accounts = await queries.accounts_of(tx, next(people(erasure)))
            if added := [name for name in accounts if name not in names]:
                await queries.add_names(tx, erasure.erasure_id, added)
            return replace(erasure, names=[*names, *added])

    async def _erase(self, claim: Claim, erasure: Erasure, rows: PersonalRows) -> int:
        total = 0
        for person in people(erasure):
            async with self._database.connection() as db:
                parts = await rows.people(db, person)
            for part in parts:
                after: Key | None = None
                while True:
                    count, after = await self._erase_batch(claim, erasure, rows, part, after)
                    total += count
                    if after is None:
                        break
        return total

    async def _erase_batch(
        self,
        claim: Claim,
        erasure: Erasure,
        rows: PersonalRows,
        person: Person,
        after: Key | None,
    ) -> tuple[int, Key | None]:
        async with self._database.transaction() as tx:
            if not await claimed_jobs.hold(tx, claim):
                return 0, None
            count, after = await rows.erase_batch(tx, person, after)
            if count:
                erased = ErasedRows(rows.table, rows.fate, count)
                await queries.add_count(tx, erasure.erasure_id, erased)
                failpoint("erase.batch.before")
        if count:
            failpoint("erase.batch.after")
        return count, after

    async def _left(self, db: Connection, erasure: Erasure) -> bool:
        for rows in personal_rows():
            if rows.table == "erasures":  # it ends with this transaction
                continue
            for person in people(erasure):
                for part in await rows.people(db, person):
                    if await rows.exist(db, part):
                        return True
        return False


def people(erasure: Erasure) -> Iterator[Person]:
    """The user, and their service accounts."""
    for name in erasure.names:
        kind, _, id_ = name.partition(":")
        yield Person(kind, id_, erasure.names, erasure.pseudonym)
