"""Every column that names people is declared, so that an erasure does not leave it behind. A new
column with text must be declared to name people or not."""

import json

from psycopg.types.json import Jsonb

from media_service.access.principal import Principal
from media_service.db.database import Database
from media_service.db.personal_data import Person, personal_rows

TEXTS = {"text", "text[]", "jsonb", "json"}
# All other columns with text. They name nobody, or are content, which goes with its row.
OTHERS = {
    "api_keys": "display_name org_id prefix scopes",
    "audit_days": "action scope scope_id",
    # Random ids.
    "audit_entries": "action actor_type category credential_id details org_id outcome project_id"
    " request_id resource_id",
    "audit_people": "type",
    "blobs": "key store",
    "blocked_files": "note scope",
    "erasures": "counts pseudonym report",
    "group_members": "group_id",
    "groups": "display_name group_id org_id",
    "jobs": "charged_type error_message error_metadata error_reason kind org_id pipeline project_id"
    " rendition stage state turn_type",
    "media": "blurhash content_type description dominant_color error_message error_metadata"
    " error_reason filename info kind labels org_id original_filename private_info project_id state"
    " tags title visibility",
    "media_versions": "content_type scan_engine scan_reason scan_state scan_threat",
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
    "share_links": "claimed_issuer claimed_org_id display_name mode org_id password_hash targets",
    "stores": "name",
    "stream_segments": "codec track",
    "streams": "ladder",
    "uploads": "attributes content_type error_message error_reason filename org_id policies"
    " project_id state store_session",
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
        assert [await rows.count(db, person) for rows in completed] == [1]
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


async def test_grants_that_a_person_gave_are_found_by_index(database: Database) -> None:
    (given,) = [rows for rows in personal_rows() if "created_by" in rows.columns]
    keys = ", ".join(f"r.{name}" for name in given.key)
    async with database.transaction() as tx:
        await tx.execute("set local enable_seqscan = off")
        await tx.execute("set local enable_bitmapscan = off")
        query = f"select {keys} from {given.table} r where {given.of} order by {keys}"  # noqa: S608
        params = Person("user", "ann", ["user:ann"]).params
        rows = await tx.execute(f"explain {query}".encode(), params)
        plan = "\n".join([row["QUERY PLAN"] async for row in rows])
    assert "access_grants_by_creator" in plan
    assert "Sort" not in plan, "pages continue in the order of the index"
