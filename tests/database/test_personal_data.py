"""Every column that names people is declared, so that an erasure does not leave it behind. A new
column with text must be declared to name people or not."""

import asyncio
import json
from collections.abc import Iterator
from itertools import product
from typing import Any

from psycopg.types.json import Jsonb

from media_service.access.principal import Principal
from media_service.clock import now
from media_service.db.database import Database
from media_service.db.personal_data import (
    Fate,
    Person,
    PersonalRows,
    key_params,
    organizations_of,
    personal_rows,
)
from media_service.db.transaction import Connection
from media_service.ids import new_id
from media_service.quotas.model import Measure
from media_service.renditions.streams import queries as streams
from media_service.renditions.streams.model import NewSegment

TEXTS = {"text", "text[]", "jsonb", "json"}
# All other columns with text. They name nobody, or are content, which goes with its row.
OTHERS = {
    "api_keys": "display_name org_id prefix scopes",
    "audit_days": "action scope scope_id",
    # Random ids.
    "archive_files": "name rendition",
    "archives": "filename org_id",
    "audit_entries": "action actor_type category credential_id details org_id outcome project_id"
    " request_id resource_id",
    "audit_people": "type",
    "batches": "errors filter",
    "blobs": "key store",
    "blocked_files": "note scope",
    "blocked_images": "note scope",
    "collections": "description filter org_id project_id title",
    "duplicate_decisions": "decision",
    "erasures": "counts pseudonym report",
    "event_sinks": "error name",
    "events": "data org_id project_id subject type",
    "group_members": "group_id",
    "groups": "display_name group_id org_id",
    "jobs": "actor_type charged_type error_message error_metadata error_reason kind org_id pipeline"
    " project_id rendition stage state turn_type",
    "media": "blurhash content_type description dominant_color error_message error_metadata"
    " error_reason filename info kind labels metadata org_id original_filename private_info"
    " project_id state tags title visibility",
    # Content, which goes with its row.
    "media_search": "content names",
    "media_versions": "blurhash content_type dominant_color error_message error_metadata"
    " error_reason filename found_type info kind private_info scan_engine scan_reason scan_state"
    " scan_threat state",
    "organizations": "display_name issuer organization_id",
    "policies": "resource settings",
    "projects": "display_name org_id project_id",
    "quotas": "measure",
    "renders": "content_type",
    "renditions": "content_type name pipeline",
    "schema_migrations": "digest name",
    "service_accounts": "display_name org_id",
    # Part of an address, of a visitor without an account; removed after a day.
    "share_link_attempts": "network",
    "webhook_deliveries": "body error event_type excerpt",
    "webhooks": "claimed_issuer claimed_org_id description disable_reason org_id project_ids"
    " resource secret_key types url",
    "share_links": "claimed_issuer claimed_org_id display_name mode org_id password_hash targets",
    "stores": "name",
    "stream_segments": "codec track",
    "streams": "ladder",
    "uploads": "attributes content_type error_message error_reason filename if_etag org_id policies"
    " project_id state store_session",
    "version_renditions": "content_type name pipeline",
    "watch_tickets": "resource_field",
}


async def test_every_column_with_text_is_declared_to_name_people_or_not(database: Database) -> None:
    async with database.connection() as db:
        rows = await db.execute(
            """
            select c.relname as table, a.attname as column, format_type(a.atttypid, null) as type
            from pg_attribute a join pg_class c on c.oid = a.attrelid
            where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
              and not c.relispartition and a.attnum > 0 and not a.attisdropped
            """
        )
        found = {(row["table"], row["column"]) async for row in rows if row["type"] in TEXTS}
    declared = {(rows.table, column) for rows in personal_rows() for column in rows.columns}
    others = {(table, column) for table, columns in OTHERS.items() for column in columns.split()}
    undeclared = {f"{table}.{column}" for table, column in found - declared - others}
    assert not undeclared, "name them in a personal_data.py, or here if they name nobody"
    assert others <= found - declared, "a column that is gone, or that names people"


async def test_an_erasure_waits_for_an_upload_of_others_that_the_person_completes(
    database: Database,
) -> None:
    cat = Principal("cat", issuer="https://issuer.example")
    person = Person("user", cat.id, [cat.grantee], "pseudonym")
    completed = [rows for rows in personal_rows() if "completer" in rows.columns]
    async with database.transaction() as tx:
        await tx.execute(
            "insert into uploads (upload_id, media_id, owner_type, owner_id, state, blob_id,"
            " expire_time, completer) values (gen_random_uuid(), gen_random_uuid(), 'user', 'ann',"
            " 'VERIFYING', gen_random_uuid(), now(), %s)",
            (Jsonb(cat.as_json()),),
        )
    async with database.connection() as db:
        assert [await rows.exist(db, person) for rows in completed] == [True]
        ((shown,), _) = await completed[0].page(db, person, None, 10)
        owner = Person("user", "ann", ["user:ann"])
        pages = [
            (await rows.page(db, owner, None, 10))[0]
            for rows in personal_rows()
            if rows.table == "uploads"
        ]
    assert json.loads(shown)["state"] == "VERIFYING"
    assert [len(page) for page in pages] == [0, 1, 0]
    assert "cat" not in str(pages), "the owner does not learn who completes it"


async def test_an_erasure_and_the_storage_of_segments_do_not_wait_for_each_other(
    database: Database,
) -> None:
    """Two videos of Ann are streamed in a project for which Bob pays."""
    ids = sorted(new_id() for _ in range(2))
    async with database.transaction() as tx:
        await tx.execute(
            "insert into projects (project_id, owner_type, owner_id) values ('p', 'user', 'bob')"
        )
        await tx.execute(
            "insert into quotas (account, measure) select 'owner:/user:bob', unnest(%s::text[])",
            ([*Measure],),
        )
        for media_id in ids:
            await tx.execute(
                "insert into blobs (blob_id, store, key, size_bytes, crc32c)"
                " values (%(id)s::uuid, 'raw', %(id)s::uuid, 7, 0)",
                {"id": media_id},
            )
            await tx.execute(
                "insert into media (media_id, owner_type, owner_id, state, kind, content_type,"
                " size_bytes, project_id) values (%s, 'user', 'ann', 'READY', 'VIDEO', '', 7, 'p')",
                (media_id,),
            )
            await tx.execute(
                "insert into streams (stream_id, media_id, job_id, ladder)"
                " values (%(id)s, %(id)s, %(id)s, '{}')",
                {"id": media_id},
            )
    person = Person("user", "ann", ["user:ann"], "pseudonym")
    (kept,) = (r for r in personal_rows() if r.table == "media" and r.fate is Fate.PSEUDONYMIZED)
    (part,) = await people_of(database, kept, person)

    async def erase() -> int:
        total, after = 0, None
        while True:
            async with database.transaction() as tx:
                count, after = await kept.erase_batch(tx, part, after)
            total += count
            if after is None:
                return total

    async with database.transaction() as worker:
        await worker.execute("select from streams where stream_id = %s for key share", ids[1:])
        erasing = asyncio.create_task(erase())
        await until_blocked(database, erasing)
        assert await streams.put_segment(worker, ids[1], NewSegment("720p", 1), ids[1])
    assert await erasing == 2
    async with database.connection() as db:
        rows = await db.execute("select used from quotas where measure = 'RENDITION_BYTES'")
        assert [row["used"] async for row in rows] == [7]


async def people_of(database: Database, rows: PersonalRows, person: Person) -> list[Person]:
    async with database.connection() as db:
        return await rows.people(db, person)


async def until_blocked(database: Database, task: asyncio.Task[Any]) -> None:
    """Waits until the task waits for a lock or has ended."""
    waiting = (
        "select from pg_locks l join pg_stat_activity a using (pid)"
        " where not granted and datname = current_database()"
    )
    async with database.connection() as db:
        while not task.done() and not (await db.execute(waiting)).rowcount:
            await asyncio.sleep(0.01)


# Few rows, which need no order: a person has one id and perhaps a former one, and one erasure.
UNORDERED = {"audit_people", "erasures"}
# Of few rows: the uploads that are being completed, and the events of the last second.
WHOLE = {"uploads_with_completer", "event_outbox_pkey"}


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def problem(node: dict[str, Any]) -> str:
    """Why a page reads more than its own rows; empty if it does not."""
    kind = str(node["Node Type"])
    if "Sort" in kind or kind == "Seq Scan":
        return kind
    if "Index" in kind and "Index Cond" not in node and node["Index Name"] not in WHOLE:
        return f"the whole index {node['Index Name']}"
    return ""


def a_key(rows: PersonalRows) -> list[object]:
    known: dict[str, object] = {
        "create_time": now(),
        "time": now(),
        "version": 1,
        "ticket_hash": b"hash",
        "cursor": 1,
        "position": 1,
    }
    return [known.get(name, new_id()) for name in rows.key]


async def test_each_page_is_read_from_an_index_in_its_order(database: Database) -> None:
    problems = set()
    async with database.transaction() as tx:
        # Empties the statistics of what earlier tests had in the tables, with which any index is as
        # good as another.
        tables = ", ".join(sorted({given.table for given in personal_rows()}))
        await tx.execute(f"truncate {tables} cascade".encode())
        # The tables are empty, so the planner would read them whole.
        await tx.execute("set local enable_seqscan = off")
        # Without an order to follow, it may prefer the whole of another index that is as empty.
        await tx.execute(
            "insert into audit_people (person_id, type, id)"
            " select gen_random_uuid(), 'user', n::text from generate_series(1, 2000) n"
        )
        await tx.execute("analyze audit_people")
        for given in personal_rows():
            sorts = "on" if given.table in UNORDERED else "off"
            await tx.execute(f"set local enable_sort = {sorts}".encode())
            parts = ["", new_id()] if given.parts is organizations_of else [new_id()]
            for part, after in product(parts, (None, a_key(given))):
                person = Person("user", "ann", ["user:ann"], part=part)
                query = f"explain (format json) {given.select('r.*', after, given.ready)}"
                params = {**person.params, **key_params(after), "limit": 200}
                row = await (await tx.execute(query.encode(), params)).fetchone()
                assert row
                plan = list(nodes(row["QUERY PLAN"][0]["Plan"]))
                if any(node.get("One-Time Filter") == "false" for node in plan):
                    continue  # in no organization, and in one
                found = {problem(node) for node in plan} - {""}
                found -= {"Sort"} if given.table in UNORDERED else set()
                problems |= {f"{given.table} where {given.of}: {each}" for each in found}
    assert not problems, "\n".join(problems)


async def test_pages_of_jobs_read_only_those_of_the_person(database: Database) -> None:
    """Of 20 000 jobs, ann has caused a few on media of others, and others took their turns."""
    ann = Person("user", "ann", ["user:ann"], "pseudonym")
    jobs = [rows for rows in personal_rows() if rows.table == "jobs"]
    async with database.transaction() as tx:
        await tx.execute(
            """
            insert into jobs (job_id, kind, subject_id, state, org_id, owner_type, owner_id,
                              actor_id, charged_type, charged_id)
            select gen_random_uuid(), 'PROCESS', gen_random_uuid(), 'SUCCEEDED', '', 'user',
                   'bob', case when n % 5000 = 0 then 'ann' else 'bob' end, 'user',
                   case when n % 4000 = 0 then 'ann' else 'bob' end
            from generate_series(1, 20000) n
            """
        )
        await tx.execute("analyze jobs")
        before = await rows_read(tx, "jobs")
        pages = [(await rows.page(tx, ann, None, 200))[0] for rows in jobs]
        assert await rows_read(tx, "jobs") - before < 100
        assert [len(page) for page in pages] == [0, 4, 4], "n = 20 000 is both, and listed once"
        erased = [await rows.erase_batch(tx, ann, None) for rows in jobs]
        assert [count for count, _ in erased] == [0, 4, 4]
        assert not any([await rows.exist(tx, ann) for rows in jobs])
        left = await tx.execute(
            "select count(*) as number from jobs"
            " where actor_id = 'ann' or charged_id = 'ann' or turn_id = 'ann'"
        )
        assert await left.fetchone() == {"number": 0}


async def test_a_page_of_addresses_reads_only_its_own(database: Database) -> None:
    """Of 3000, all of ann: hashing them is cheaper for PostgreSQL than one lookup for each."""
    async with database.transaction() as tx:
        person_id = await tx.person_id("user", "ann")
        await tx.execute(
            """
            with added as (
                select now() + n * interval '1 ms' as time, gen_random_uuid() as entry_id
                from generate_series(1, 3000) n
            ), entries as (
                insert into audit_entries (
                    time, entry_id, category, action, actor_type, person_id, org_id, project_id,
                    version, resource_id, outcome, counted, requests, bytes, credential_id,
                    request_id, origin_hash
                )
                select time, entry_id, 'CHANGE', '', 'user', %s, '', '', 0, '', 'OK', false, 1, 0,
                       '', '', '' from added
            )
            insert into audit_origins (time, entry_id, salt, address, user_agent)
            select time, entry_id, '', '127.0.0.1', '' from added
            """,
            (person_id,),
        )
        await tx.execute("analyze audit_entries, audit_origins")
        (rows,) = [rows for rows in personal_rows() if rows.table == "audit_origins"]
        (ann,) = await rows.people(tx, Person("user", "ann", ["user:ann"]))
        before = await rows_read(tx, "audit_%")
        page, after = await rows.page(tx, ann, None, 200)
        assert await rows_read(tx, "audit_%") - before < 1500
        count, _ = await rows.erase_batch(tx, ann, after)
        assert (len(page), count) == (200, 500)


async def rows_read(db: Connection, table: str) -> int:
    """In this transaction."""
    rows = await db.execute(
        "select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int as number"
        " from pg_stat_xact_user_tables where relname like %s",
        (table,),
    )
    row = await rows.fetchone()
    assert row
    return int(row["number"])
