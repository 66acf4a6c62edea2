"""Many responses take one step in each pass of the event loop."""

import asyncio

from media_service.rpc.pacing import Pacer

RESPONSES = 50
STEPS = 4


async def test_a_short_call_waits_for_a_few_steps_of_many_responses() -> None:
    pacer = Pacer()
    steps: list[int] = []

    async def response(number: int) -> None:
        for _ in range(STEPS):
            await pacer.step()
            steps.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(RESPONSES):
            group.create_task(response(number))
        await asyncio.sleep(0)
        before = len(steps)
        for _ in range(10):  # the passes of a short call
            await asyncio.sleep(0)
        assert 0 < len(steps) - before <= 10
    # The first takes its step at once, and asks for the second before the others ask.
    assert steps == [0, *list(range(RESPONSES)) * (STEPS - 1), *range(1, RESPONSES)]


async def test_a_cancelled_response_does_not_stop_the_others() -> None:
    pacer = Pacer()
    tasks = [asyncio.ensure_future(pacer.step()) for _ in range(5)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    tasks[2].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [result is None for result in results] == [True, False, False, True, True]
    await asyncio.wait_for(pacer.step(), 1)


async def test_the_only_response_never_waits() -> None:
    pacer = Pacer()
    for _ in range(3):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        step = pacer.step()
        try:
            step.send(None)
        except StopIteration:
            continue
        step.close()
        raise AssertionError("the step waited for another pass")
