"""Deletes media that have expired, and starts the inspections of versions that were lost."""

from media_service.jobs.periodic import MINUTE, PeriodicTask
from media_service.media.expiry import expire_due
from media_service.media.versions.adding import inspect_forgotten

TASKS = (
    PeriodicTask("expired media", MINUTE, expire_due),
    PeriodicTask("versions without an inspection", MINUTE, inspect_forgotten),
)
