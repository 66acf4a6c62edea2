"""Every wait for a request has a limit, also when the waits of many callers end at once."""

import asyncio
import time
from typing import Any

import pytest

from media_service.access.owner import Owner
from media_service.errors import DeadlineExceeded, Reason
from media_service.rpc import request_reader
from media_service.rpc.request_reader import MAX_WAITING, RequestReader

ANN, BOB = Owner("user", "ann"), Owner("user", "bob")
PATIENCE_SECONDS = 20


class SilentCall:
    """The context of a call whose message never arrives."""

    async def read(self) -> None:
        await asyncio.Event().wait()


async def reason_of_silence(reader: RequestReader, owner: Owner) -> Reason:
    call: Any = SilentCall()
    with pytest.raises(DeadlineExceeded) as caught:
        await reader.read(call, owner)
    return caught.value.reason


async def test_a_call_whose_place_was_taken_as_its_wait_ended_does_not_affect_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(request_reader, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(request_reader, "MESSAGE_SECONDS", 0.3)
    reader = RequestReader()
    async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as calls:
        waiting = [calls.create_task(reason_of_silence(reader, ANN)) for _ in range(MAX_WAITING)]
        await asyncio.sleep(0.25)
        waiting.append(calls.create_task(reason_of_silence(reader, BOB)))
        await asyncio.sleep(0)
        time.sleep(0.2)
    assert {call.result() for call in waiting} == {Reason.STREAM_TOO_SLOW}
