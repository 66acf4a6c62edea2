"""Loads an upload and checks the caller's role."""

from media_service.access.policy import authorize, role_required
from media_service.access.principal import Principal
from media_service.access.role import Role
from media_service.db.transaction import Connection
from media_service.sharing.errors import project_not_found
from media_service.uploads import queries
from media_service.uploads.errors import upload_not_found
from media_service.uploads.model import Upload


async def load(db: Connection, principal: Principal, upload_id: str) -> Upload:
    """Returns the upload if the caller has the role that the method requires. Raises NotFound
    (UPLOAD_NOT_FOUND) and PermissionDenied (ROLE_REQUIRED)."""
    upload = await queries.get(db, upload_id, principal)
    return authorize(upload, upload_not_found(upload_id))


async def load_to_write(db: Connection, principal: Principal, upload_id: str) -> Upload:
    """Like `load`, for a caller who adds bytes. Also raises the errors of `check_project`."""
    upload = await queries.get_to_write(db, upload_id, principal)
    return check_project(authorize(upload, upload_not_found(upload_id)))


def check_completer(upload: Upload) -> Upload:
    """Returns the upload if the caller may still add its media. Raises NotFound (UPLOAD_NOT_FOUND,
    PROJECT_NOT_FOUND) and PermissionDenied (ROLE_REQUIRED)."""
    return check_project(authorize(upload, upload_not_found(upload.upload_id), Role.EDITOR))


def check_project(upload: Upload) -> Upload:
    """Returns the upload if the caller may still add media to its project. Raises NotFound
    (PROJECT_NOT_FOUND) and PermissionDenied (ROLE_REQUIRED)."""
    if upload.project_role is Role.NONE:
        raise project_not_found(upload.spec.project_id)
    if upload.project_role < Role.EDITOR:
        raise role_required(Role.EDITOR)
    return upload
