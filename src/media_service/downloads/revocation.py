"""Ends signed URLs before they expire.

A signed URL names two keys: one of its media, and one of its signer. Each is a number, and to
change it ends all URLs that name another one. Both are read with the media, so it costs no
statement. Archives of the signer, or with the media, are deleted.
"""

from media_service.access.policy import decided, role_required
from media_service.access.principal import Principal
from media_service.access.role import Role
from media_service.db.database import Database
from media_service.downloads.archives import queries as archives
from media_service.media import queries
from media_service.media.service import load
from media_service.sharing.recording import name_in_log
from media_service.sharing.resources import Resource

# The name of the caller as a signer.
ME = "me"


class UrlRevocation:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_media(self, principal: Principal, media_id: str) -> None:
        """Raises NotFound (MEDIA_NOT_FOUND), PermissionDenied (ROLE_REQUIRED)."""
        async with self._database.transaction() as tx:
            await load(tx, principal, media_id)
            await queries.change_url_key(tx, media_id)
            await archives.delete_with_media(tx, media_id)
            tx.audit(media_id=media_id)

    async def of_signer(self, principal: Principal, signer: str) -> None:
        """`signer`: as a grantee. Only administrators may name others. Raises PermissionDenied
        (ROLE_REQUIRED)."""
        decided()
        name = principal.grantee if signer == ME else signer
        kind, _, id_ = name.partition(":")
        async with self._database.transaction() as tx:
            others = name != principal.grantee
            if others and await queries.service_role(tx, principal) < Role.OWNER:
                raise role_required(Role.OWNER)
            await queries.change_signer_key(tx, name)
            await archives.delete_of_creator(tx, name)
            tx.audit(resource_id=await name_in_log(tx, Resource(kind, id_)))
