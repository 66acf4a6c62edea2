"""Use cases of reconcile, for the command and for the periodic task of workers."""

from collections.abc import Mapping
from datetime import timedelta

from media_service.db.database import Database
from media_service.reconcile.compare import Comparison, Report
from media_service.reconcile.model import GRACE, Finding
from media_service.reconcile.repair import Repairer
from media_service.storage.blob_store import BlobStore


class Reconciler:
    """`stores`: by name. `older_than`: objects without a row are ignored until this age."""

    def __init__(
        self,
        database: Database,
        stores: Mapping[str, BlobStore],
        older_than: timedelta = GRACE,
    ) -> None:
        self._database = database
        self._stores = stores
        self._older_than = older_than
        self._repairer = Repairer(database, stores, older_than)

    def comparisons(self, report: Report) -> Mapping[str, Comparison]:
        """One comparison for each store."""
        return {
            name: Comparison(self._database, store, report, self._older_than)
            for name, store in self._stores.items()
        }

    async def repair(self, finding: Finding) -> bool:
        """Whether the finding is resolved. Raises Unavailable."""
        return await self._repairer.repair(finding)

    async def abort_abandoned(self) -> int:
        """Removes the parts of open blobs without an upload, and returns the number of blobs. Safe
        in concurrent processes: each checks again before it removes anything."""
        aborted = 0

        async def abort(finding: Finding) -> None:
            nonlocal aborted
            aborted += await self._repairer.repair(finding)

        for comparison in self.comparisons(abort).values():
            await comparison.open_blobs()
        return aborted
