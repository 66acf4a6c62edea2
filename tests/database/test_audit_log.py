"""The audit log over time: partitions, retention, digests, statistics."""

import subprocess
import sys
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import LiteralString

import pytest

from media_service.audit.digests import seal_hours, verify
from media_service.audit.model import Scope
from media_service.audit.partitions import maintain_partitions, remove_old
from media_service.audit.people import People
from media_service.audit.personal_data import ROWS
from media_service.audit.queries import writing
from media_service.audit.statistics import analytics, roll_up
from media_service.clock import now
from media_service.db.audit_entry import AuditEntry, Category, Origin
from media_service.db.database import Database
from media_service.db.personal_data import Person
from media_service.ids import new_id
from media_service.uploads.periodic_tasks import expire_uploads
from tests.support.batches import changed_by

YEAR, MONTH = timedelta(days=365), timedelta(days=30)
HOUR = timedelta(hours=1)
MEDIA = new_id()


def entry(user: str = "ann", *, time: datetime | None = None, **more: object) -> AuditEntry:
    values: dict[str, object] = {
        "category": Category.DOWNLOAD,
        "action": "media.download",
        "origin": Origin("user", user, address="192.0.2.1", user_agent="curl/8"),
        "media_id": MEDIA,
        "counted": True,
        "bytes": 10,
        "time": time or now(),
    }
    return AuditEntry(**{**values, **more})  # type: ignore[arg-type]


async def record(database: Database, *entries: AuditEntry) -> None:
    async with database.transaction() as tx:
        await writing.insert(tx, entries)


async def execute(database: Database, statement: LiteralString) -> int:
    async with database.connection() as db:
        return (await db.execute(statement)).rowcount


async def column(database: Database, statement: LiteralString) -> list[object]:
    async with database.connection() as db:
        return [next(iter(row.values())) async for row in await db.execute(statement)]


async def partitions(database: Database, table: str) -> list[str]:
    found = await column(
        database,
        "select tablename from pg_tables where tablename like 'audit\\_%\\_20%' order by 1",
    )
    return [str(name) for name in found if str(name).startswith(table)]


def day_name(table: str, day: date) -> str:
    return f"{table}_{day:%Y%m%d}"


# Retention


async def test_days_are_partitions_that_are_made_ahead_and_dropped_in_time(
    database: Database,
) -> None:
    today = now().date()
    old, middle = now() - timedelta(days=400), now() - timedelta(days=40)
    expected = [day_name("audit_entries", today + timedelta(days=n)) for n in range(4)]
    assert await partitions(database, "audit_entries") == expected, "after the migration"
    # Without a worker, entries get into the default partition.
    async with database.connection() as db:
        await db.execute(f"drop table {expected[0]}".encode())
    await record(database, entry(), entry(time=middle), entry(time=old))
    await changed_by(maintain_partitions(database, YEAR, MONTH))
    assert await partitions(database, "audit_entries") == expected
    assert await column(database, "select count(*) from audit_entries_default") == [1], "middle"
    assert await column(database, "select count(*) from audit_entries") == [2]
    assert await column(database, "select count(*) from audit_origins") == [1]
    # Days later, with shorter times:
    await changed_by(maintain_partitions(database, timedelta(days=-2), timedelta(days=-3)))
    assert await partitions(database, "audit_entries") == expected[2:]
    assert await partitions(database, "audit_origins") == [
        day_name("audit_origins", today + timedelta(days=3))
    ]
    assert await column(database, "select count(*) from audit_entries") == [0]


async def test_addresses_of_strangers_are_forgotten(database: Database) -> None:
    stranger = Origin("anonymous", "192.0.2.7", address="192.0.2.7")
    await record(database, entry(), entry(origin=stranger))
    await execute(database, "update audit_people set create_time = now() - interval '31 days'")
    assert await changed_by(remove_old(database, YEAR, MONTH)) == 1
    assert await column(database, "select id from audit_people") == ["ann"]
    assert await column(database, "select count(person_id) from audit_entries") == [2]


async def test_a_batch_whose_commit_was_not_confirmed_can_be_repeated(database: Database) -> None:
    again = entry(category=Category.VIEW, action="media.view")
    await record(database, again)
    await record(database, again, entry())
    assert await column(database, "select count(*) from audit_entries where counted") == [2]
    assert await column(database, "select count(*) from audit_origins") == [2]


# Digests


async def sealed(database: Database, hours: int = 3) -> datetime:
    """Some sealed hours with two entries each. Returns the first."""
    first = now().replace(minute=0, second=0, microsecond=0) - (hours + 1) * HOUR
    for n in range(hours):
        time = first + n * HOUR
        await record(database, entry(time=time), entry("bob", time=time + timedelta(minutes=59)))
    assert await changed_by(seal_hours(database)) >= hours
    return first


async def test_sealed_hours_are_intact(database: Database) -> None:
    await sealed(database)
    found = await verify(database, YEAR, None)
    assert (found.broken, found.entries) == ("", 6)
    assert found.last
    assert not (await verify(database, YEAR, found.last.digest)).broken
    assert "does not contain" in (await verify(database, YEAR, bytes(32))).broken


@pytest.mark.parametrize(
    ("tamper", "broken"),
    [
        ("update audit_entries set bytes = 11 where time = %s", 1),
        ("update audit_entries set details = '{}' where time = %s", 1),
        ("delete from audit_entries where time = %s", 1),
        (
            "insert into audit_entries select time, gen_random_uuid(), category, action,"
            " actor_type, person_id, org_id, project_id, media_id, version, resource_id, outcome,"
            " counted, requests, bytes, credential_id, request_id, origin_hash"
            " from audit_entries where time = %s",
            1,
        ),
        ("update audit_origins set address = '192.0.2.2' where time = %s", 1),
        ("update audit_digests set content = sha256('') where hour = %s", 1),
        ("delete from audit_digests where hour = %s", 2),
    ],
    ids=["changed", "details", "removed", "added", "address", "digest", "no digest"],
)
async def test_tampering_is_found_in_its_hour(
    database: Database, tamper: LiteralString, broken: int
) -> None:
    first = await sealed(database)
    async with database.connection() as db:
        assert (await db.execute(tamper, (first + HOUR,))).rowcount == 1
    found = await verify(database, YEAR, None)
    assert found.hours == 1
    assert f"{first + HOUR:%Y-%m-%dT%H}:00" in found.broken


@pytest.mark.parametrize(
    "tamper",
    [
        "update audit_people set id = 'innocent' where id = 'ann'",
        "update audit_people set id = 'innocent', salt = null where id = 'ann'",
        "update audit_people set type = 'service_account' where id = 'ann'",
    ],
    ids=["name", "salt", "type"],
)
async def test_a_changed_name_is_found(database: Database, tamper: LiteralString) -> None:
    await sealed(database)
    (person,) = await column(database, "select person_id::text from audit_people where id = 'ann'")
    assert await execute(database, tamper) == 1
    found = await verify(database, YEAR, None)
    assert found.broken == f"the name of the caller {person} was changed"


async def test_the_command_reports_the_first_broken_hour(
    database: Database, database_url: str
) -> None:
    first = await sealed(database)

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "media_service", "audit", "verify", *options],
            env={"MEDIA_DATABASE_URL": database_url},
            capture_output=True,
            text=True,
            check=False,
        )

    found = await verify(database, YEAR, None)
    assert found.last
    intact = run("--contains", found.last.digest.hex())
    assert intact.returncode == 0
    assert intact.stdout.split()[-1] == found.last.digest.hex()
    await execute(database, "update audit_entries set outcome = 'OK?'")
    broken = run()
    assert broken.returncode == 1
    assert f"{first:%Y-%m-%dT%H}:00" in broken.stderr


async def test_erasing_a_person_leaves_the_chain_whole(database: Database) -> None:
    await sealed(database)
    ann = Person("user", "ann", ["user:ann"])
    for rows in ROWS:
        async with database.transaction() as tx:
            for part in await rows.people(tx, ann):
                if rows.erasable:
                    await rows.erase_batch(tx, part, None)
    assert await column(database, "select id from audit_people") == ["bob"]
    assert await column(database, "select count(*) from audit_origins") == [3]
    await record(database, entry())
    counts = await column(
        database, "select count(*) from audit_entries group by person_id order by 1"
    )
    assert counts == [1, 3, 3]
    assert not (await verify(database, YEAR, None)).broken


async def test_expired_hours_leave_the_chain_whole(database: Database) -> None:
    await sealed(database)
    await execute(database, "delete from audit_entries")
    assert (await verify(database, YEAR, None)).broken
    assert not (await verify(database, HOUR, None)).broken


async def test_an_hour_is_sealed_once_every_writer_has_flushed(database: Database) -> None:
    hour = now().replace(minute=0, second=0, microsecond=0) - 2 * HOUR
    await record(database, entry(time=hour))
    slow = new_id()
    async with database.connection() as db:
        await writing.register(db, slow, hour + timedelta(minutes=30))
    assert await changed_by(seal_hours(database)) == 0
    async with database.connection() as db:
        await writing.beat(db, slow, hour + HOUR)
    assert await changed_by(seal_hours(database)) == 1
    # A late entry gets the time at which it is written.
    before = now()
    await record(database, entry(time=hour, action="late"))
    (time,) = await column(database, "select time from audit_entries where action = 'late'")
    assert isinstance(time, datetime)
    assert time >= before - timedelta(seconds=1)
    assert not (await verify(database, YEAR, None)).broken


async def test_a_dead_writer_does_not_stop_the_chain(database: Database) -> None:
    hour = now().replace(minute=0, second=0, microsecond=0) - 2 * HOUR
    await record(database, entry(time=hour))
    async with database.connection() as db:
        await writing.register(db, new_id(), hour)
    await execute(database, "update audit_writers set beat_time = now() - interval '6 minutes'")
    assert await changed_by(seal_hours(database)) >= 1


# Statistics


async def test_days_have_exact_counts_whatever_runs_at_once(database: Database) -> None:
    async with database.transaction() as tx:
        # An earlier transaction commits later.
        await writing.insert(tx, [entry("cat"), entry("cat", bytes=1)])
        await record(database, entry(), entry("bob"), entry("bob", counted=False, bytes=5))
        await changed_by(roll_up(database))
    await changed_by(roll_up(database))
    await record(database, entry())
    await changed_by(roll_up(database))
    await changed_by(roll_up(database))
    found = await analytics(database, Scope.MEDIA, MEDIA, 30)
    total = found.total
    assert (total.requests, total.downloads, total.bytes, total.people) == (6, 5, 46, 3)
    assert [(day.day, day.action) for day in found.days] == [(now().date(), "media.download")]


async def test_unique_users_of_a_period_are_no_sum_of_days(database: Database) -> None:
    yesterday = now() - timedelta(days=1)
    await record(database, entry(time=yesterday), entry("bob", time=yesterday), entry())
    refused = entry("eve", category=Category.DENIAL, action="media.read", counted=False)
    await record(database, refused)
    await changed_by(roll_up(database))
    found = await analytics(database, Scope.MEDIA, MEDIA, 30)
    assert [day.usage.people for day in found.days] == [2, 1, 1]
    assert found.total.people == 2
    assert (await analytics(database, Scope.MEDIA, MEDIA, 1)).total.people == 1


async def test_a_caller_has_one_view_in_ten_minutes_in_all_processes(database: Database) -> None:
    start = now() - timedelta(minutes=20)

    def view(user: str, minutes: int) -> AuditEntry:
        time = start + timedelta(minutes=minutes)
        return entry(user, time=time, category=Category.VIEW, action="media.view")

    for each in (view("ann", 0), view("ann", 1), view("bob", 2), view("ann", 9), view("ann", 11)):
        await record(database, each)
    await changed_by(roll_up(database))
    assert (await analytics(database, Scope.MEDIA, MEDIA, 2)).total.views == 3


@pytest.mark.parametrize(("count", "tolerance"), [(0, 0), (1, 0), (500, 0), (5000, 0.05)])
def test_people_are_counted_over_days(count: int, tolerance: float) -> None:
    def day(numbers: Sequence[int]) -> People:
        return People.from_bytes(People.of(map(str, numbers)).to_bytes())

    people = day(range(count // 2))
    people.merge(day(range(count)))
    people.merge(day(range(count // 3)))
    assert abs(len(people) - count) <= tolerance * count


async def test_an_upload_that_expires_is_recorded_as_the_work_of_the_service(
    database: Database,
) -> None:
    await execute(
        database,
        "insert into uploads (upload_id, media_id, org_id, owner_type, owner_id, state, blob_id,"
        " expire_time) values (gen_random_uuid(), gen_random_uuid(), 'acme', 'user', 'ann',"
        " 'ACTIVE', gen_random_uuid(), now() - interval '1 hour')",
    )
    await changed_by(expire_uploads(database))
    assert await column(
        database,
        "select (e.action, e.actor_type, e.org_id, e.resource_id = u.upload_id::text)::text"
        " from audit_entries e, uploads u",
    ) == ["(uploads.expire,service,acme,t)"]
