"""The slots of a worker."""

from typing import Any

from media_service.jobs.slots import HeldSlot, Slots


def test_jobs_may_end_while_a_worker_looks_at_their_slots() -> None:
    anything: Any = None
    slots, held = Slots(3), [HeldSlot(anything, anything) for _ in range(3)]
    for slot in held:
        slots.add(slot)
    seen = []
    for slot in slots:
        seen.append(slot)
        slots.remove(slot)
    assert seen == held
