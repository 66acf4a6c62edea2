"""Purges deleted media, removes the segments of abandoned streams and unreferenced blobs, retries
standard renditions, hashes media of earlier releases, and reads the text of documents of earlier
releases."""

from collections.abc import Mapping

from media_service.blobs.handlers.unlink import UnlinkHandler
from media_service.db.database import Database
from media_service.jobs.periodic import HOUR, MINUTE, Batches, PeriodicTask
from media_service.jobs.side_queue import run_waiting
from media_service.renditions.delete import purge_due
from media_service.renditions.hashing import hash_existing
from media_service.renditions.standard import retry_failed
from media_service.renditions.streams.cleanup import remove_abandoned
from media_service.renditions.texts import read_existing_texts
from media_service.renditions.version_retention import delete_outdated_versions
from media_service.storage.blob_store import BlobStore


def remove_blobs(database: Database, stores: Mapping[str, BlobStore]) -> Batches:
    """Removes blobs that nothing refers to, and their bytes."""
    return run_waiting(database, UnlinkHandler(database, stores))


TASKS = (
    PeriodicTask("purged media", MINUTE, purge_due),
    PeriodicTask("versions beyond their retention", HOUR, delete_outdated_versions),
    PeriodicTask("segments of abandoned streams", MINUTE, remove_abandoned),
    PeriodicTask("unreferenced blobs", MINUTE, remove_blobs),
    PeriodicTask("failed jobs of standard renditions", HOUR, retry_failed),
    PeriodicTask("media hashed", HOUR, hash_existing),
    PeriodicTask("texts of documents read", HOUR, read_existing_texts),
)
