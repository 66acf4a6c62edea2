"""Purges deleted media, and removes the segments of abandoned streams."""

from media_service.jobs.periodic import MINUTE, PeriodicTask
from media_service.renditions.delete import purge_due
from media_service.renditions.streams.cleanup import remove_abandoned

TASKS = (
    PeriodicTask("purged media", MINUTE, purge_due),
    PeriodicTask("segments of abandoned streams", MINUTE, remove_abandoned),
)
