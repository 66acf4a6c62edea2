"""The extensions of PostgreSQL that the schema needs."""

from media_service.db.connection import LimitedConnection

REQUIRED = ("btree_gin", "pg_trgm", "unaccent")

# Installed ones need neither files nor a privilege.
STATE = """
select name,
       exists (select from pg_available_extensions a where a.name = r.name) as available,
       has_database_privilege(current_database(), 'CREATE') as allowed,
       current_setting('server_version_num')::int / 10000 as version
from unnest(%s::text[]) r (name)
where not exists (select from pg_extension e where e.extname = r.name)
order by name
"""


class ExtensionsMissing(RuntimeError):
    """PostgreSQL lacks extensions, or the user may not create them. Says how to get them."""


async def check_extensions(db: LimitedConnection) -> None:
    """Raises ExtensionsMissing unless all extensions exist or can be created."""
    found = [row async for row in await db.execute(STATE, (list(REQUIRED),))]
    if missing := [row["name"] for row in found if not row["available"]]:
        raise ExtensionsMissing(how_to_install(missing, found[0]["version"]))
    if forbidden := [row["name"] for row in found if not row["allowed"]]:
        statements = " ".join(f"create extension if not exists {name};" for name in forbidden)
        raise ExtensionsMissing(
            "the database user may not create extensions. Let a user who may run this in the"
            f" database, or grant CREATE on it: {statements}"
        )


def how_to_install(names: list[str], version: int) -> str:
    return (
        f"PostgreSQL lacks extensions that the service needs: {', '.join(names)}.\n"
        f"They are part of the package postgresql-{version} of Debian and Ubuntu, of"
        f" postgresql{version}-contrib of Red Hat and Alpine, and of the image `postgres`.\n"
        "Amazon RDS and Google Cloud SQL have them; if the parameter `rds.allowed_extensions` is"
        " set, it must name them. On Azure, add them to the parameter `azure.extensions`."
    )
