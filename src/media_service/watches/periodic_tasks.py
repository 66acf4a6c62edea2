"""Removes expired tickets."""

from media_service.jobs.periodic import MINUTE, PeriodicTask
from media_service.watches.tickets import remove_expired_tickets

TASKS = (PeriodicTask("expired watch tickets", MINUTE, remove_expired_tickets),)
