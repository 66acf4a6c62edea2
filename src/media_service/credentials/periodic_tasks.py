"""Removes API keys that ended long ago."""

from media_service.credentials.service import remove_ended_keys
from media_service.jobs.periodic import HOUR, PeriodicTask

TASKS = (PeriodicTask("ended API keys", HOUR, remove_ended_keys),)
