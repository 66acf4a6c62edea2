"""Deletes media that have expired."""

from media_service.jobs.periodic import MINUTE, PeriodicTask
from media_service.media.expiry import expire_due

TASKS = (PeriodicTask("expired media", MINUTE, expire_due),)
