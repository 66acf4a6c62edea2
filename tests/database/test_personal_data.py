"""Every column that names people is declared; otherwise an erasure would leave it behind."""

import re

from media_service.db.database import Database
from media_service.db.personal_data import personal_rows

# Columns whose names say that they may name a person.
NAMING = re.compile(
    r"(^|_)(owner|actor|user|users|person|people|member|members|grantee|principal|creator|created|"
    r"by|signer|subject|sender|visitor|recipient|author|names?|account|resource|id|email|issuer|address|agent)(_|$)"
)
TEXTS = {"text", "text[]", "jsonb", "json"}
# What names nobody, by table and column; `*`: in all tables.
OTHERS = {
    "*": {"org_id", "project_id"},
    "groups": {"group_id", "display_name"},
    "group_members": {"group_id"},
    "media": {"filename", "original_filename"},
    "policies": {"resource"},
    "organizations": {"organization_id", "display_name", "issuer"},
    "projects": {"display_name"},
    "renditions": {"name"},
    "schema_migrations": {"name"},
    "service_accounts": {"display_name"},
    "share_links": {"claimed_issuer", "claimed_org_id", "display_name"},
    "stores": {"name"},
    "api_keys": {"display_name"},
    "watch_tickets": {"resource_field"},
    # Random ids, and the digests of names.
    "audit_days": {"people", "scope_id"},
    "audit_entries": {"actor_type", "credential_id", "request_id", "resource_id"},
}


async def test_every_column_that_names_people_is_declared(database: Database) -> None:
    async with database.connection() as db:
        rows = await db.execute(
            """
            select c.relname as table, a.attname as column, format_type(a.atttypid, null) as type
            from pg_attribute a join pg_class c on c.oid = a.attrelid
            where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
              and not c.relispartition and a.attnum > 0 and not a.attisdropped
            """
        )
        found = {
            (row["table"], row["column"])
            async for row in rows
            if row["type"] in TEXTS and NAMING.search(row["column"])
        }
    declared = {(rows.table, column) for rows in personal_rows() for column in rows.columns}
    undeclared = {
        f"{table}.{column}"
        for table, column in found - declared
        if column not in OTHERS["*"] | OTHERS.get(table, set())
    }
    assert not undeclared, "name them in a personal_data.py, or here if they name nobody"
