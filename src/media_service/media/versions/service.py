"""Use cases of versions: the history of a media, and what was."""

from media_service.access.principal import Principal
from media_service.blobs import queries as blobs
from media_service.db.database import Database
from media_service.errors import FailedPrecondition, Reason
from media_service.media.model import NOT_SCANNED, Media, MediaState, NewMedia, Scan
from media_service.media.service import load, policies_of
from media_service.media.versions import queries
from media_service.media.versions.adding import add_version, check_replaceable
from media_service.media.versions.reader import version_not_found

# Above every version.
NEWEST = 2**31 - 1


class VersionService:
    """`new_scan`: the virus scan of each new version."""

    def __init__(self, database: Database, new_scan: Scan = NOT_SCANNED) -> None:
        self._database = database
        self._new_scan = new_scan

    async def list_versions(
        self, principal: Principal, media_id: str, before: int, limit: int
    ) -> list[Media]:
        """Returns a media as each of its versions shows it, newest first. `before`: only lower
        numbers."""
        async with self._database.connection() as db:
            await load(db, principal, media_id)
            return await queries.page(db, media_id, before, limit)

    async def get(self, principal: Principal, media_id: str, version: int) -> Media:
        """Raises NotFound (MEDIA_NOT_FOUND, VERSION_NOT_FOUND)."""
        async with self._database.connection() as db:
            await load(db, principal, media_id)
            found = await queries.get(db, media_id, version)
        if found is None:
            raise version_not_found(media_id, version)
        return found

    async def restore(self, principal: Principal, media_id: str, version: int, etag: str) -> Media:
        """Adds a version with the bytes of an earlier one, which becomes current once it is
        inspected. Returns it, or the current version, if that is the one to restore.

        Raises NotFound (MEDIA_NOT_FOUND, VERSION_NOT_FOUND), FailedPrecondition (MEDIA_DELETED,
        VERSION_NOT_READY, FILE_BLOCKED, QUOTA_EXCEEDED), Aborted (ETAG_MISMATCH).
        """
        async with self._database.transaction() as tx:
            media = await load(tx, principal, media_id, lock=True)
            check_replaceable(media, etag)
            found = await queries.get(tx, media_id, version)
            if found is None:
                raise version_not_found(media_id, version)
            if found.current:
                return found
            shared = await blobs.share(tx, found.blob.blob_id, instead_of=found.blob.blob_id)
            if found.state is not MediaState.READY or found.scan.held or not shared:
                raise FailedPrecondition(
                    Reason.VERSION_NOT_READY,
                    "Only a version that is READY can be restored.",
                    media_id=media_id,
                    version=version,
                    state=found.state,
                )
            policies = await policies_of(tx, media.owner.org_id, media.project_id)
            copy = copy_of(found, self._new_scan, strip=policies.strip_metadata)
            added = await add_version(tx, copy, principal.owner, version)
            tx.audit(media_id=media_id, version=added, details={"restored": str(version)})
            restored = await queries.get(tx, media_id, added)
        assert restored  # noqa: S101 - it is locked
        return restored


def copy_of(version: Media, scan: Scan, *, strip: bool) -> NewMedia:
    """`strip`: a policy says that originals lose their metadata before anybody can read them."""
    return NewMedia(
        version.media_id,
        version.owner,
        version.kind,
        version.uploaded_type,
        version.version_filename,
        version.blob,
        version.project_id,
        scan=scan,
        strip_pending=strip and not version.stripped,
        stripped=version.stripped,
    )
