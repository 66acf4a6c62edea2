"""Imports what workers import when they start, and has them find it."""

from media_service.blobs.references import blob_references
from media_service.jobs.handler import handler_types
from media_service.jobs.periodic import find_periodic_tasks
from media_service.webhooks import deliverer, sender

FOUND = (*handler_types(), *find_periodic_tasks(), *blob_references(), deliverer, sender)
