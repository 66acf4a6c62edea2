"""Renders that take long do not hold up those of other owners."""

import asyncio

import pytest
from mediaservice.v1.operation_pb2 import Operation

from media_service.renders import slots
from tests.support.media.small_files import jpeg, noise
from tests.support.rpc.catalogue import until_done
from tests.support.rpc.renders import render
from tests.support.rpc.server import Caller, Start


async def ready(caller: Caller, data: bytes) -> str:
    media_id = (await caller.store_all(data)).media_id
    await until_done(caller, media_id)
    return media_id


@pytest.mark.parametrize("children", ["1", "2"])
async def test_slow_renders_of_one_owner_leave_a_child_to_another_owner(
    start: Start, monkeypatch: pytest.MonkeyPatch, children: str
) -> None:
    monkeypatch.setattr(slots, "LIGHT_SECONDS", 0.3)
    service = await start(work=True, render_children=children)
    ann, bob = await service.caller("ann"), await service.caller("bob")
    anns, bobs = await ready(ann, jpeg()), await ready(bob, jpeg())
    slow = [
        asyncio.create_task(
            render(ann, anns, ops=f"resize:{width}x5000:fit=FILL:enlarge", format=Operation.AVIF)
        )
        for width in range(5000, 5005)
    ]
    await asyncio.sleep(0.5)
    for width in (20, 30):
        assert (await render(bob, bobs, width=width)).size[0] == width
    assert not any(task.done() for task in slow)
    for task in slow:
        task.cancel()


async def test_a_render_that_gives_way_starts_again(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every render is slow, so all but those that started as such give way."""
    monkeypatch.setattr(slots, "LIGHT_SECONDS", 0.0)
    service = await start(work=True, render_children="2")
    ann, bob = await service.caller("ann"), await service.caller("bob")
    anns, bobs = await ready(ann, noise(600, 600)), await ready(bob, noise(600, 600))
    widths = range(501, 505)
    answers = await asyncio.gather(
        *(render(ann, anns, width=width) for width in widths),
        *(render(bob, bobs, width=width) for width in widths),
    )
    assert [answer.size[0] for answer in answers] == [*widths, *widths]
