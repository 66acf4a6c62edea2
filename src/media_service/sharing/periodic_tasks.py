"""Removes grants that have expired."""

from media_service.jobs.periodic import HOUR, PeriodicTask
from media_service.sharing.grants import remove_expired_grants

TASKS = (PeriodicTask("expired grants", HOUR, remove_expired_grants),)
