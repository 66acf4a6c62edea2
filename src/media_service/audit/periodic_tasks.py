"""Keeps the audit log: partitions, retention, digests, statistics."""

from media_service.audit.digests import seal_hours
from media_service.audit.partitions import maintain_partitions, remove_old
from media_service.audit.statistics import roll_up
from media_service.jobs.periodic import HOUR, MINUTE, PeriodicTask

TASKS = (
    PeriodicTask("partitions of the audit log", HOUR, maintain_partitions),
    PeriodicTask("old audit statistics", MINUTE, remove_old),
    PeriodicTask("sealed audit hours", MINUTE, seal_hours),
    PeriodicTask("audit entries in statistics", MINUTE, roll_up),
)
