"""Use cases of reconciling: what the command and the worker's sweep are made of."""

from collections.abc import Mapping
from datetime import timedelta

from media_service.db.database import Database
from media_service.reconcile.compare import Comparison, Report
from media_service.reconcile.model import GRACE, Finding
from media_service.reconcile.repair import Repairer
from media_service.storage.blob_store import BlobStore


class Reconciler:
    """`stores`: by the name that rows have for them. `older_than`: what nobody names is left alone
    for so long."""

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
        """One for each store, by its name."""
        return {
            name: Comparison(self._database, store, report, self._older_than)
            for name, store in self._stores.items()
        }

    async def repair(self, finding: Finding) -> bool:
        """Whether nothing is left of it. Raises Unavailable."""
        return await self._repairer.repair(finding)

    async def abort_abandoned(self) -> int:
        """Removes the parts of open blobs that no upload has; returns how many blobs. Harmless in
        many processes at once: each looks again, and who comes second finds nothing to do."""
        aborted = 0

        async def abort(finding: Finding) -> None:
            nonlocal aborted
            aborted += await self._repairer.repair(finding)

        for comparison in self.comparisons(abort).values():
            await comparison.open_blobs()
        return aborted
