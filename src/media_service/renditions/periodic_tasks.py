"""Purges deleted media, removes the segments of abandoned streams, and retries standard
renditions."""

from media_service.jobs.periodic import HOUR, MINUTE, PeriodicTask
from media_service.renditions.delete import purge_due
from media_service.renditions.standard import retry_failed
from media_service.renditions.streams.cleanup import remove_abandoned

TASKS = (
    PeriodicTask("purged media", MINUTE, purge_due),
    PeriodicTask("segments of abandoned streams", MINUTE, remove_abandoned),
    PeriodicTask("failed jobs of standard renditions", HOUR, retry_failed),
)
