"""Deletes the versions that the policy of an organization or a project does not keep."""

from media_service.db.database import Database
from media_service.jobs.periodic import Batches
from media_service.media.versions import queries as versions
from media_service.policies.queries import settings as policies
from media_service.renditions.delete import remove_version

BATCH = 100
# In the audit log and in events, why a version was deleted.
RETENTION_ENDED = "RETENTION_ENDED"


async def delete_outdated_versions(database: Database) -> Batches:
    async with database.connection() as db:
        retentions = await policies.version_retentions(db)
    for retention in retentions:
        found = BATCH
        while found == BATCH:
            async with database.connection() as db:
                due = await policies.outdated_versions(db, retention, BATCH)
            for media_id, number in due:
                async with database.transaction() as tx:
                    version = await versions.lock(tx, media_id, number)
                    if version is not None and not version.current:
                        await remove_version(tx, version, RETENTION_ENDED)
            found = len(due)
            yield found
