"""Removes what processes that died have left: parts of uploads, and temporary files."""

import asyncio
from collections.abc import Mapping

from media_service.db.database import Database
from media_service.jobs.periodic import HOUR, Batches, PeriodicTask
from media_service.reconcile.model import GRACE
from media_service.reconcile.service import Reconciler
from media_service.storage.blob_store import BlobStore
from media_service.temporary_files import remove_leftovers


async def abort_abandoned(database: Database, stores: Mapping[str, BlobStore]) -> Batches:
    yield await Reconciler(database, stores).abort_abandoned()


async def remove_temporary_files() -> Batches:
    yield await asyncio.to_thread(remove_leftovers, GRACE)


TASKS = (
    PeriodicTask("parts of abandoned uploads", HOUR, abort_abandoned),
    PeriodicTask("leftover temporary files", HOUR, remove_temporary_files),
)
