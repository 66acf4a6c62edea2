"""Removes renders that have not been requested for a long time."""

from media_service.jobs.periodic import MINUTE, PeriodicTask
from media_service.renders.cache import remove_unused

TASKS = (PeriodicTask("unused renders", MINUTE, remove_unused),)
