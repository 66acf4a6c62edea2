"""Removes share links that ended long ago."""

from media_service.jobs.periodic import HOUR, PeriodicTask
from media_service.share_links.service import remove_ended_links

TASKS = (PeriodicTask("ended share links", HOUR, remove_ended_links),)
