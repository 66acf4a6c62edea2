"""Whose webhooks a caller manages."""

from media_service.access.owner import Owner
from media_service.access.principal import Principal
from media_service.db.transaction import Connection
from media_service.sharing import queries as sharing
from media_service.sharing.model import Located
from media_service.sharing.resources import parse_resource


async def locate(
    db: Connection, resource: str, owner: Owner, principal: Principal
) -> Located | None:
    """The caller's role on a resource of webhooks. `owner`: of webhooks without one, whose events
    are those of what the owner owns."""
    if not resource:
        return await sharing.locate_owner(db, owner, principal)
    return await sharing.locate(db, parse_resource(resource), principal)
