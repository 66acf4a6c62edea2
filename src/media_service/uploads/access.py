"""Loads an upload and checks the caller's permission."""

from media_service.access.permission import Permission
from media_service.access.policy import authorize
from media_service.access.principal import Principal
from media_service.db.transaction import Connection
from media_service.uploads import queries
from media_service.uploads.errors import upload_not_found
from media_service.uploads.model import Upload


async def load(
    db: Connection, principal: Principal, permission: Permission, upload_id: str
) -> Upload:
    """Returns the upload if the caller has the permission on it. Otherwise, raises NotFound
    (UPLOAD_NOT_FOUND)."""
    upload = await queries.get(db, upload_id)
    return authorize(principal, permission, upload, upload_not_found(upload_id))
