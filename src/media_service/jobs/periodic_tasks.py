"""Forgets old jobs."""

from media_service.jobs.periodic import MINUTE, PeriodicTask
from media_service.jobs.service import forget_ended

TASKS = (PeriodicTask("old jobs", MINUTE, forget_ended),)
