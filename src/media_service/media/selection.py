"""What a filter selects for a caller. It may name collections, which are looked up first."""

from media_service.access.policy import Condition, scope
from media_service.access.principal import Principal
from media_service.access.queries import Scope
from media_service.access.role import Role
from media_service.db.transaction import Connection
from media_service.media import queries
from media_service.media.filter import fields_for, parse


async def select(
    db: Connection, principal: Principal, filter_text: str, minimum: Role = Role.VIEWER
) -> tuple[Scope, list[Condition]]:
    """What the caller may see, also in the collections that a filter names, and the condition of
    the filter, if there is one. Raises InvalidArgument (INVALID_FILTER)."""
    fields = fields_for(principal)
    parsed = parse(filter_text, fields)
    if parsed is None:
        return scope(principal, minimum), []
    if named := parsed.named.collections:
        smart = await queries.smart_filters(db, principal, sorted(named))
        parsed = parse(filter_text, fields, smart) or parsed
    return scope(principal, minimum, parsed.named), [parsed.condition]
