"""Removes renders that nobody requests any more."""

from media_service.jobs.periodic import MINUTE, PeriodicTask
from media_service.renders.cache import remove_unused

TASKS = (PeriodicTask("unused renders", MINUTE, remove_unused),)
