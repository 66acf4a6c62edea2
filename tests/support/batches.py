"""Runs periodic tasks in tests."""

from media_service.jobs.periodic import Batches


async def changed_by(batches: Batches) -> int:
    """Runs all batches of a task. Returns the number of items that they changed."""
    return sum([count async for count in batches])
