"""Validation of large batches does not hold up other calls."""

import asyncio

import pytest
from mediaservice.v1.upload_service_pb2 import BatchCreateUploadsRequest

from media_service.errors import InvalidArgument
from media_service.rpc.field_validation import FieldValidator

REQUESTS = 1000


def batch(title: str = "") -> BatchCreateUploadsRequest:
    """As many uploads as a batch may have; the last one has the title."""
    request = BatchCreateUploadsRequest()
    for number in range(REQUESTS):
        request.requests.add().spec.filename = f"{number}.jpg"
    request.requests[-1].spec.title = title
    return request


async def test_other_tasks_run_while_a_batch_is_validated() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await FieldValidator().check_in_turns(batch())
    counting.cancel()
    assert turns >= REQUESTS / 2


@pytest.mark.parametrize("title", ["a\0", "x" * 201])
async def test_an_invalid_request_of_a_batch_is_named(title: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await FieldValidator().check_in_turns(batch(title))
    ((field, _),) = caught.value.fields
    assert field == f"requests[{REQUESTS - 1}].spec.title"


async def test_the_limit_of_a_list_is_checked_before_its_elements() -> None:
    request = batch()
    request.requests.add()
    with pytest.raises(InvalidArgument, match="no more than 1000 item"):
        await FieldValidator().check_in_turns(request)
