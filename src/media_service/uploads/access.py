"""Loads an upload and checks the caller's role."""

from media_service.access.policy import authorize
from media_service.access.principal import Principal
from media_service.db.transaction import Connection
from media_service.uploads import queries
from media_service.uploads.errors import upload_not_found
from media_service.uploads.model import Upload


async def load(db: Connection, principal: Principal, upload_id: str) -> Upload:
    """Returns the upload if the caller has the role that the method requires. Raises NotFound
    (UPLOAD_NOT_FOUND) and PermissionDenied (ROLE_REQUIRED)."""
    upload = await queries.get(db, upload_id, principal)
    return authorize(upload, upload_not_found(upload_id))
