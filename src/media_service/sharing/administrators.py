"""Administrators, as an operator changes them on the machine of the database. `url`: of the
database. `grantee`: such as "user:ann"."""

from media_service.access.role import Role
from media_service.db.database import Database
from media_service.sharing import queries
from media_service.sharing.model import Grant
from media_service.sharing.resources import INSTALLATION, check_member

MAX_LISTED = 1000


async def add(url: str, grantee: str) -> None:
    """Idempotent. Raises InvalidArgument (INVALID_FIELD), Unavailable."""
    check_member(grantee)
    async with Database(url, 1) as database, database.transaction() as tx:
        await queries.put_grant(tx, Grant(str(INSTALLATION), grantee, Role.OWNER))


async def remove(url: str, grantee: str) -> None:
    """Idempotent. Raises InvalidArgument (INVALID_FIELD), Unavailable."""
    check_member(grantee)
    async with Database(url, 1) as database, database.transaction() as tx:
        await queries.delete_grant(tx, str(INSTALLATION), grantee)


async def names(url: str) -> list[str]:
    """The grantees of the installation, by name."""
    async with Database(url, 1) as database, database.connection() as db:
        grants = await queries.grant_page(db, str(INSTALLATION), "", MAX_LISTED)
    return [grant.grantee for grant in grants if grant.role is Role.OWNER]
