"""Which job is claimed next: single cases, and a comparison with a model."""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from media_service.access.owner import Owner
from media_service.db.database import Database
from media_service.db.new_job import NewJob
from media_service.errors import Fault
from media_service.ids import new_id
from media_service.jobs.fair_queue import FairQueue
from media_service.jobs.model import Claim, JobKind, JobState, Priority
from media_service.jobs.queries import changing, claimed_jobs, claiming, owner_turns
from tests.support.long_form import examples

LEASE = timedelta(hours=1)
LATER = timedelta(hours=2)
OWNERS = [Owner("user", "ann"), Owner("user", "bob"), Owner("team", "ann", "acme")]
CAT, DAN = Owner("user", "cat", "acme"), Owner("user", "dan", "zoo")
EVERYBODY = [*OWNERS, CAT, DAN]
FAULT = Fault("STORAGE_UNAVAILABLE", "away")
# The kinds of jobs that a worker leaves to others.
SKIPPED: list[tuple[JobKind, ...]] = [(), (JobKind.SCAN,)]


def job(owner: Owner | None, kind: JobKind | None = None, **options: Any) -> NewJob:
    usual = JobKind.PROCESS if owner else JobKind.FINISH
    return NewJob(kind or usual, new_id(), owner, **options)


async def accept(database: Database, *jobs: NewJob) -> None:
    for one in jobs:
        async with database.transaction() as tx:
            await tx.enqueue(one)


async def claimed(
    database: Database, queue: FairQueue, running: list[Claim], *, heavy: bool = True
) -> Claim | None:
    async with database.connection() as db:
        await claiming.release_due(db)
        claim = await queue.claim(db, LEASE, running, heavy=heavy)
    if claim:
        running.append(claim)
    return claim


async def drain(database: Database, limit: int, *, hold: bool = False) -> list[Claim]:
    """Claims the next jobs in order. Unless `hold` is set, each ends before the next is claimed."""
    queue = FairQueue()
    running: list[Claim] = []
    found: list[Claim] = []
    while len(found) < limit and (claim := await claimed(database, queue, running)):
        found.append(claim)
        if not hold:
            running.clear()
            async with database.connection() as db:
                assert await claimed_jobs.finish(db, claim, JobState.SUCCEEDED)
    return found


def owners(claims: list[Claim]) -> list[str]:
    return [claim.owner.id if claim.owner else "service" for claim in claims]


async def test_many_jobs_of_one_owner_do_not_delay_the_job_of_another(database: Database) -> None:
    ann, bob, _ = OWNERS
    async with database.transaction() as tx:
        await tx.enqueue(*(job(ann) for _ in range(10_000)))
    await accept(database, job(bob))
    assert "bob" in owners(await drain(database, 2))


async def test_the_owner_with_the_fewest_running_jobs_is_next(database: Database) -> None:
    ann, bob, acme = OWNERS
    await accept(database, *(job(owner) for owner in (ann, ann, ann, bob, acme)))
    found = await drain(database, 5, hold=True)
    assert {claim.owner for claim in found[:3]} == {ann, bob, acme}
    assert [claim.owner for claim in found[3:]] == [ann, ann]


async def test_owners_take_turns(database: Database) -> None:
    ann, bob, acme = OWNERS
    await accept(database, *(job(owner) for owner in (ann, bob, acme) for _ in range(3)))
    found = [claim.owner for claim in await drain(database, 9)]
    for start in (0, 3, 6):
        assert set(found[start : start + 3]) == {ann, bob, acme}


async def test_a_job_takes_the_turns_of_the_caller_who_started_it(database: Database) -> None:
    ann, bob, _ = OWNERS
    await accept(database, *(job(ann, charged=bob) for _ in range(3)), job(ann))
    assert set(owners(await drain(database, 2))) == {"ann", "bob"}


async def test_organizations_take_turns_however_many_users_have_jobs(database: Database) -> None:
    ann, _, _ = OWNERS
    crowd = [Owner("user", f"user {number}", "big") for number in range(50)]
    await accept(database, *(job(owner) for owner in crowd for _ in range(2)))
    await accept(database, *(job(owner) for owner in (ann, DAN) for _ in range(4)))
    found = [claim.owner for claim in await drain(database, 12)]
    for start in (0, 3, 6, 9):
        turn = {owner_turns.tenant_of(owner) for owner in found[start : start + 3] if owner}
        assert turn == {ann, Owner("", "", "big"), Owner("", "", "zoo")}
    served = [owner for owner in found if owner and owner.org_id == "big"]
    assert len(set(served)) == 4  # its users take turns, too


async def test_organizations_get_equal_numbers_of_slots(database: Database) -> None:
    crowd = [Owner("user", f"user {number}", "big") for number in range(10)]
    await accept(database, *(job(owner) for owner in crowd), *(job(DAN) for _ in range(5)))
    found = await drain(database, 8, hold=True)
    assert sum(claim.owner == DAN for claim in found) == 4


async def test_an_organization_waits_for_its_own_slots(database: Database) -> None:
    """A user of an organization that holds a slot does not displace another tenant's only one, and
    displaces a user of the organization who holds several."""
    _, bob, _ = OWNERS
    await accept(database, job(DAN), job(bob))
    running = await drain(database, 2, hold=True)
    assert {claim.owner for claim in running} == {DAN, bob}
    eve = Owner("user", "eve", "zoo")
    await accept(database, job(eve))
    tenant = owner_turns.tenant_of(DAN)
    async with database.connection() as db:
        assert not await owner_turns.is_awaited(db, bob, 1, heavy=True)
        assert not await owner_turns.is_awaited(db, tenant, 1, heavy=True)
        assert await owner_turns.is_awaited(db, DAN, 1, heavy=True)
        assert await owner_turns.held_slots(db, tenant) == await owner_turns.held_slots(db, DAN)
        assert await owner_turns.held_slots(db, eve) == []


async def test_internal_jobs_and_jobs_of_owners_alternate(database: Database) -> None:
    await accept(database, *(job(OWNERS[0]) for _ in range(4)), *(job(None) for _ in range(4)))
    found = [claim.owner is None for claim in await drain(database, 8)]
    assert found in ([True, False] * 4, [False, True] * 4)


async def test_neither_class_of_jobs_uses_all_slots_while_the_other_waits(
    database: Database,
) -> None:
    await accept(database, *(job(OWNERS[0]) for _ in range(9)), *(job(None) for _ in range(9)))
    found = await drain(database, 6, hold=True)
    assert sum(claim.owner is None for claim in found) == 3


async def test_the_most_urgent_job_of_an_owner_is_claimed_first(database: Database) -> None:
    ann, bob, _ = OWNERS
    low, first, second, high = jobs = [
        job(ann, priority=priority)
        for priority in (Priority.LOW, Priority.NORMAL, Priority.NORMAL, Priority.HIGH)
    ]
    await accept(database, *jobs, job(bob))
    found = [claim.job_id for claim in await drain(database, 5) if claim.owner == ann]
    assert found == [one.job_id for one in (high, first, second, low)]


async def test_concurrent_claims_never_return_the_same_job(database: Database) -> None:
    await accept(database, *(job(OWNERS[n % 3] if n % 4 else None) for n in range(60)))
    found = await asyncio.gather(*(drain(database, 60, hold=True) for _ in range(4)))
    ids = [claim.job_id for claims in found for claim in claims]
    assert len(ids) == len(set(ids)) == 60


async def test_a_slot_for_light_jobs_takes_no_heavy_ones(database: Database) -> None:
    """Even of an owner whose heavy jobs are more urgent."""
    ann, bob, _ = OWNERS
    light = job(bob, priority=Priority.LOW)
    await accept(database, job(ann, heavy=True), job(bob, heavy=True), light)
    claim = await claimed(database, FairQueue(), [], heavy=False)
    assert claim is not None
    assert claim.job_id == light.job_id
    assert await claimed(database, FairQueue(), [claim], heavy=False) is None


async def test_jobs_that_also_run_beside_the_slots_do_not_claim_those_of_owners(
    database: Database,
) -> None:
    ann, _, _ = OWNERS
    await accept(database, NewJob(JobKind.UNLINK, new_id()), NewJob(JobKind.DISCARD, new_id()))
    async with database.connection() as db:
        assert not await owner_turns.is_awaited(db, ann, 1, heavy=True)
    await accept(database, NewJob(JobKind.FINISH, new_id()))
    async with database.connection() as db:
        assert await owner_turns.is_awaited(db, ann, 1, heavy=True)


async def test_a_subjob_in_the_slot_of_its_parent_does_not_count_as_a_slot(
    database: Database,
) -> None:
    ann, bob, _ = OWNERS
    parent = job(ann)
    await accept(database, parent, job(ann, parent_id=parent.job_id, delay=LATER))
    async with database.connection() as db:
        claim = await claimed(database, FairQueue(), [])
        assert claim is not None
        await db.execute("update jobs set run_time = now()")
        assert await claiming.claim_subjob(db, parent.job_id, LEASE)
        assert await owner_turns.held_slots(db, ann) == [parent.job_id]
        assert await owner_turns.held_slots(db, bob) == []


@pytest.mark.parametrize(
    ("owners_", "each", "org", "heavy"),
    [
        (1, 20_000, "none", True),
        (4000, 2, "none", True),
        (4000, 2, "none", False),
        (4000, 2, "one", True),
        (4000, 2, "each its own", True),
    ],
)
async def test_the_cost_of_a_claim_does_not_depend_on_the_queue_length(
    database: Database, owners_: int, each: int, org: str, heavy: bool
) -> None:
    """The cost is counted in pages read, which do not depend on the load of the machine. In a slot
    for light jobs, heavy jobs have no cost."""
    async with database.connection() as db:
        await db.execute(
            "insert into jobs (job_id, kind, subject_id, state, org_id, owner_type, owner_id)"
            " select gen_random_uuid(), 'PROCESS', gen_random_uuid(), 'QUEUED',"
            " case %s when 'none' then '' when 'one' then 'acme' else 'org ' || o end,"
            " 'user', 'user ' || o from generate_series(1, %s) o, generate_series(1, %s)",
            (org, owners_, each),
        )
        if not heavy:
            await db.execute("update jobs set heavy = owner_id <= 'user 3990'")
        await db.execute("vacuum analyze jobs")
        await db.execute("select pg_stat_force_next_flush()")
        before = await pages(database)
        queue, running = FairQueue(), list[Claim]()
        for _ in range(20):
            claim = await queue.claim(db, LEASE, running, heavy=heavy)
            assert claim is not None
        await db.execute("select pg_stat_force_next_flush()")
    assert (await pages(database) - before) / 20 < 200


async def pages(database: Database) -> int:
    async with database.connection() as db:
        rows = await db.execute(
            "select heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read as pages"
            " from pg_statio_user_tables where relname = 'jobs'"
        )
        row = await rows.fetchone()
        assert row is not None
        return int(row["pages"])


# Comparison with a model


@dataclass
class Model:
    """The expected state of a job."""

    new: NewJob
    state: JobState = JobState.QUEUED
    due: bool = True
    attempt: int = 0
    fence: int = 0
    # The order in which jobs of the same priority are claimed.
    place: int = 0
    percent: int = 0
    lapsed: bool = False
    heavy: bool = False
    holds_slot: bool = False
    lost_leases: int = 0
    outages: int = 0

    def suits(self, heavy: bool, skipped: Collection[JobKind]) -> bool:
        return (heavy or not self.heavy) and self.new.kind not in skipped


def rivals_of(group: Owner, owners: set[Owner]) -> set[Owner]:
    """The groups of these owners that take turns with a group."""
    if group.org_id and group.type:
        return {owner for owner in owners if owner.org_id == group.org_id}
    return {owner_turns.tenant_of(owner) for owner in owners}


@dataclass
class Held:
    claim: Claim
    model: Model
    fence: int = field(init=False)

    def __post_init__(self) -> None:
        self.fence = self.claim.fence

    @property
    def valid(self) -> bool:
        return self.model.state is JobState.RUNNING and self.model.fence == self.fence


class Jobs(RuleBasedStateMachine):
    """Every operation on jobs, in any order, by workers with valid and with lost claims."""

    run: Callable[[Coroutine[Any, Any, Any]], Any]
    database: Database

    def __init__(self) -> None:
        super().__init__()
        self.run(self._clear())
        self.jobs: dict[str, Model] = {}
        self.held: list[Held] = []
        self.places = 0
        self.queues = {skipped: FairQueue(skipped) for skipped in SKIPPED}

    async def _clear(self) -> None:
        async with self.database.connection() as db:
            await db.execute("truncate jobs, batches")

    def do(self, query: Callable[..., Any], *arguments: Any) -> Any:
        async def ask() -> Any:
            async with self.database.connection() as db:
                return await query(db, *arguments)

        return self.run(ask())

    def place(self) -> int:
        self.places += 1
        return self.places

    @rule(
        owner=st.sampled_from([None, *EVERYBODY]),
        priority=st.sampled_from(Priority),
        delayed=st.booleans(),
        heavy=st.booleans(),
        kind=st.sampled_from([None, JobKind.SCAN]),
    )
    def accept(
        self,
        owner: Owner | None,
        priority: Priority,
        delayed: bool,
        heavy: bool,
        kind: JobKind | None,
    ) -> None:
        heavy = heavy and owner is not None
        delay = LATER if delayed else timedelta()
        new = job(owner, kind, priority=priority, delay=delay, heavy=heavy)
        self.run(accept(self.database, new))
        self.jobs[new.job_id] = Model(new, due=not delayed, place=self.place(), heavy=heavy)

    @property
    def ready(self) -> list[Model]:
        return [m for m in self.jobs.values() if m.state is JobState.QUEUED and m.due]

    @rule(heavy=st.booleans(), skipped=st.sampled_from(SKIPPED))
    def claim(self, heavy: bool, skipped: tuple[JobKind, ...]) -> None:
        """Claims by a worker that runs nothing else, for a slot that `heavy` jobs may use or may
        not. It leaves the jobs of `skipped` kinds to others."""
        self.release()
        claim = self.do(partial(self.queues[skipped].claim, heavy=heavy), LEASE, [])
        ready = [m for m in self.ready if m.suits(heavy, skipped)]
        if claim is None:
            assert not ready
            return
        model = self.jobs[claim.job_id]
        assert model in ready
        owner = model.new.owner
        rivals = [m for m in ready if m.new.owner == owner]
        if owner is None:
            assert model.place == min(m.place for m in rivals)
        else:
            best = min(rivals, key=lambda m: (-m.new.priority, m.place))
            assert model is best
            waiting = {m.new.owner for m in ready if m.new.owner}
            for group in owner_turns.groups_of(owner):
                assert self.running(group) == min(map(self.running, rivals_of(group, waiting)))
        model.state, model.percent, model.holds_slot = JobState.RUNNING, 0, True
        model.attempt += 1
        model.fence += 1
        assert (claim.attempt, claim.fence, claim.owner) == (model.attempt, model.fence, owner)
        self.held.append(Held(claim, model))

    def running(self, group: Owner) -> int:
        """The slots that a group holds."""
        return sum(
            m.state is JobState.RUNNING
            and m.holds_slot
            and m.new.owner is not None
            and group in owner_turns.groups_of(m.new.owner)
            for m in self.jobs.values()
        )

    @property
    def running_of_service(self) -> int:
        return sum(
            m.state is JobState.RUNNING and m.holds_slot and m.new.owner is None
            for m in self.jobs.values()
        )

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def become_heavy(self, data: st.DataObject) -> None:
        held = data.draw(st.sampled_from(self.held))
        assert self.do(claimed_jobs.become_heavy, held.claim) == held.valid
        if held.valid:
            held.model.heavy = True

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def move_into_the_slot_of_another_job(self, data: st.DataObject) -> None:
        """As the chunks of a stream, which run in the slot of its job."""
        held = data.draw(st.sampled_from(self.held))
        self.do(execute, "update jobs set holds_slot = false where job_id = %s", held.claim.job_id)
        held.model.holds_slot = False

    @rule(
        owner=st.sampled_from(EVERYBODY),
        slots=st.integers(0, 3),
        heavy=st.booleans(),
        skipped=st.sampled_from(SKIPPED),
    )
    def is_awaited(
        self, owner: Owner, slots: int, heavy: bool, skipped: tuple[JobKind, ...]
    ) -> None:
        ready = [m.new.owner for m in self.ready if m.suits(heavy, skipped)]
        of_service = None in ready and self.running_of_service < slots
        ask = partial(owner_turns.is_awaited, heavy=heavy, skipped=skipped)
        for group in owner_turns.groups_of(owner):
            rivals = rivals_of(group, {one for one in ready if one}) - {group}
            expected = of_service or any(self.running(rival) < slots for rival in rivals)
            assert self.do(ask, group, slots) == expected

    @rule(owner=st.sampled_from(EVERYBODY))
    def held_slots(self, owner: Owner) -> None:
        for group in owner_turns.groups_of(owner):
            found = self.do(owner_turns.held_slots, group)
            assert len(found) == len(set(found)) == self.running(group)

    def release(self) -> None:
        self.do(claiming.release_due)
        for model in self.jobs.values():
            if model.state is JobState.RUNNING and model.lapsed:
                model.state, model.lapsed = JobState.QUEUED, False
                model.lost_leases += 1

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        held = data.draw(st.sampled_from(self.held))
        assert self.do(claimed_jobs.renew, held.claim, LEASE) == held.valid
        if held.valid:
            held.model.lapsed = False

    @precondition(lambda self: self.held)
    @rule(data=st.data(), percent=st.integers(0, 99))
    def report(self, data: st.DataObject, percent: int) -> None:
        held = data.draw(st.sampled_from(self.held))
        assert self.do(claimed_jobs.report, held.claim, "work", percent) == held.valid
        if held.valid:
            held.model.percent = max(held.model.percent, percent)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), state=st.sampled_from([JobState.SUCCEEDED, JobState.FAILED]))
    def finish(self, data: st.DataObject, state: JobState) -> None:
        held = data.draw(st.sampled_from(self.held))
        fault = FAULT if state is JobState.FAILED else None
        assert self.do(claimed_jobs.finish, held.claim, state, fault) == held.valid
        if held.valid:
            held.model.state = state
            if state is JobState.SUCCEEDED:
                held.model.percent = 100

    @precondition(lambda self: self.held)
    @rule(data=st.data(), outage=st.booleans())
    def retry_later(self, data: st.DataObject, outage: bool) -> None:
        held = data.draw(st.sampled_from(self.held))
        retry_later = partial(claimed_jobs.retry_later, outage=outage)
        assert self.do(retry_later, held.claim, LATER, FAULT) == held.valid
        if held.valid:
            held.model.outages += outage
            held.model.state, held.model.due = JobState.QUEUED, False
            held.model.lapsed, held.model.place = False, self.place()

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def put_back(self, data: st.DataObject) -> None:
        held = data.draw(st.sampled_from(self.held))
        assert self.do(claimed_jobs.put_back, held.claim) == held.valid
        if held.valid:
            held.model.state, held.model.percent = JobState.QUEUED, 0
            held.model.lapsed, held.model.place = False, self.place()
            held.model.attempt -= 1

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        model = self.jobs[data.draw(st.sampled_from(sorted(self.jobs)))]
        self.do(changing.cancel, model.new.job_id)
        if not model.state.final:
            model.state, model.lapsed = JobState.CANCELLED, False

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def restart(self, data: st.DataObject) -> None:
        model = self.jobs[data.draw(st.sampled_from(sorted(self.jobs)))]
        self.do(changing.restart, model.new.job_id)
        if model.state in {JobState.FAILED, JobState.CANCELLED}:
            model.state, model.due, model.attempt, model.percent = JobState.QUEUED, True, 0, 0
            model.lost_leases = model.outages = 0
            model.place = self.place()

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        """The lease of a worker expired longer ago than any delay."""
        held = data.draw(st.sampled_from(self.held))
        if held.valid:
            self.do(execute, "update jobs set lease_until = now() - interval '1 h'"
                    " where job_id = %s", held.claim.job_id)  # fmt: skip
            held.model.lapsed = True

    @rule()
    def hours_pass(self) -> None:
        """Delayed jobs become due, in the order of their due times."""
        self.do(
            execute,
            "update jobs set run_time = run_time - %s where state = 'QUEUED' and not ready",
            LATER,
        )
        for model in self.jobs.values():
            if model.state is JobState.QUEUED:
                model.due = True
        self.release()

    @invariant()
    def rows_are_as_the_model_says(self) -> None:
        rows = self.do(everything)
        assert {row["job_id"] for row in rows} == set(self.jobs)
        for row in rows:
            model = self.jobs[row["job_id"]]
            found = (row["state"], row["attempt"], row["fence"], row["progress_percent"])
            assert found == (model.state, model.attempt, model.fence, model.percent)
            assert (row["lost_leases"], row["outages"]) == (model.lost_leases, model.outages)
            assert (row["lease_until"] is not None) == (model.state is JobState.RUNNING)
            assert (row["end_time"] is not None) == model.state.final
            assert not row["stage"] or model.state is JobState.RUNNING


async def execute(db: Any, statement: str, *params: Any) -> None:
    await db.execute(statement, params)


async def everything(db: Any) -> list[dict[str, Any]]:
    rows = await db.execute("select *, job_id::text as job_id from jobs")
    found: list[dict[str, Any]] = await rows.fetchall()
    return found


def test_jobs_behave_like_the_model(database_url: str) -> None:
    with asyncio.Runner() as runner:

        async def opened() -> Database:
            return await Database(database_url, 2).__aenter__()

        database = runner.run(opened())

        class Machine(Jobs):
            pass

        Machine.run = staticmethod(runner.run)
        Machine.database = database
        try:
            run_state_machine_as_test(
                Machine,
                settings=settings(
                    max_examples=examples(12, 60), stateful_step_count=40, database=None
                ),
            )
        finally:
            runner.run(database.__aexit__())
