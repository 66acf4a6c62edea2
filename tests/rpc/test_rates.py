"""Rate limits: of callers, and of the addresses of clients without a caller."""

import asyncio
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from mediaservice.v1 import (
    credentials_service_pb2,
    health_service_pb2,
    health_service_pb2_grpc,
    job_service_pb2,
    media_service_pb2,
    processing_service_pb2,
    upload_service_pb2,
)

from tests.support.rpc.audit import entries
from tests.support.rpc.server import (
    Caller,
    Refusal,
    Start,
    refusal,
    refused,
    unknown_id,
)
from tests.support.tools import eventually_async

OPERATIONS = processing_service_pb2.ListOperationsRequest()
SPENT = "RATE_LIMITED"


async def get(caller: Caller, *headers: tuple[str, str]) -> Refusal:
    """Reads a media that does not exist, which costs 1."""
    request = media_service_pb2.GetMediaRequest(media_id=unknown_id())
    return await refused(caller.call(caller.media.GetMedia, request, *headers))


async def reasons(caller: Caller, calls: int, *headers: tuple[str, str]) -> list[str]:
    return [(await get(caller, *headers)).reason for _ in range(calls)]


async def test_a_caller_that_spent_its_quota_is_refused_and_others_are_not(start: Start) -> None:
    service = await start(rate_caller="3/h")
    ann, bob = await service.caller("ann"), await service.caller("bob")
    assert await reasons(ann, 4) == ["MEDIA_NOT_FOUND"] * 3 + [SPENT]
    assert await reasons(bob, 1) == ["MEDIA_NOT_FOUND"]
    again = await service.caller("ann", jti="another token")
    assert await reasons(again, 1) == [SPENT]


async def test_a_refusal_says_when_to_try_again(start: Start) -> None:
    ann = await (await start(rate_caller="2/h")).caller("ann")
    await reasons(ann, 2)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ann.call(ann.jobs.ListJobs, job_service_pb2.ListJobsRequest())  # costs 2
    status: Any = rpc_status.from_call(caught.value)
    retry = error_details_pb2.RetryInfo()
    assert [detail.Unpack(retry) for detail in status.details] == [False, True]
    wait = retry.retry_delay.ToTimedelta().total_seconds()
    assert 3500 < wait <= 3600
    shown = await get(ann)
    assert shown.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert shown.metadata == {
        "limit": "caller",
        "quota": "2",
        "window_seconds": "3600",
        "remaining": "0",
    }
    seconds = int(shown.headers["retry-after"])
    assert 1700 < seconds <= 1800
    assert shown.headers["ratelimit-policy"] == '"caller";q=2;w=3600'
    assert shown.headers["ratelimit"] == f'"caller";r=0;t={seconds}'


async def test_units_come_back(start: Start) -> None:
    ann = await (await start(rate_caller="2/s")).caller("ann")
    while SPENT not in await reasons(ann, 3):
        pass
    await asyncio.sleep(0.6)
    assert await reasons(ann, 1) == ["MEDIA_NOT_FOUND"]


async def test_each_element_of_a_batch_costs(start: Start) -> None:
    ann = await (await start(rate_caller="20/h")).caller("ann")
    one = processing_service_pb2.ProcessMediaRequest(media_id=unknown_id())
    one.operations.add().resize.width = 10
    batch = processing_service_pb2.BatchProcessMediaRequest(requests=[one] * 4)
    assert len((await ann.call(ann.processing.BatchProcessMedia, batch)).results) == 4
    assert await reasons(ann, 1) == [SPENT]


async def test_a_batch_that_costs_more_than_the_whole_quota_needs_all_of_it(start: Start) -> None:
    service = await start(rate_caller="4/h")
    ann, bob = await service.caller("ann"), await service.caller("bob")
    create = upload_service_pb2.CreateUploadRequest()
    create.spec.filename = "a.jpg"
    batch = upload_service_pb2.BatchCreateUploadsRequest(requests=[create] * 3)  # costs 6
    await get(bob)
    assert (await refused(bob.call(bob.uploads.BatchCreateUploads, batch))).reason == SPENT
    shown = await refused(ann.call(ann.uploads.BatchCreateUploads, batch))
    assert (shown.reason, shown.metadata["remaining"]) == (SPENT, "2")


async def test_refused_tokens_cost_their_address_and_known_tokens_do_not(start: Start) -> None:
    service = await start(rate_address="3/h")
    ann, eve = await service.caller("ann"), await service.caller("eve", exp=1)
    assert await reasons(ann, 1) == ["MEDIA_NOT_FOUND"]
    assert await reasons(eve, 3) == ["TOKEN_EXPIRED", "TOKEN_EXPIRED", SPENT]
    assert (await get(eve)).metadata["limit"] == "address"
    nobody = Caller(ann.address, ann.channel, "")
    assert await reasons(nobody, 1) == [SPENT]
    assert await reasons(ann, 5) == ["MEDIA_NOT_FOUND"] * 5
    elsewhere = ("x-client-address", "192.0.2.1")
    assert await reasons(eve, 1, elsewhere) == ["TOKEN_EXPIRED"]


async def test_public_methods_cost_the_address(start: Start) -> None:
    ann = await (await start(rate_address="1/h")).caller("ann")

    async def outcome(address: str) -> str:
        headers = (("x-client-address", address),)
        try:
            await ann.processing.ListOperations(OPERATIONS, metadata=headers)
        except grpc.aio.AioRpcError as error:
            return refusal(error).reason
        return "OK"

    one, other = "192.0.2.1", "192.0.2.2"
    assert [await outcome(one) for _ in range(2)] == ["OK", SPENT]
    assert await outcome(other) == "OK"
    assert await outcome(other) == SPENT
    # A client has a whole network of IPv6 addresses.
    assert await outcome("2001:db8::1") == "OK"
    assert await outcome("2001:db8::2:1") == SPENT
    assert await outcome("2001:db8:0:1::1") == "OK"
    assert await outcome("::ffff:192.0.2.3") == "OK"
    assert await outcome("192.0.2.3") == SPENT


async def test_health_costs_nothing(start: Start) -> None:
    service = await start(rate_address="1/h", rate_caller="1/h")
    async with grpc.aio.insecure_channel(service.address) as channel:
        health = health_service_pb2_grpc.HealthServiceStub(channel)
        for _ in range(3):
            await health.CheckReadiness(health_service_pb2.CheckReadinessRequest())


async def test_limits_can_be_off(start: Start) -> None:
    ann = await (await start(rate_caller="off", rate_address="off")).caller("ann")
    assert await reasons(ann, 5) == ["MEDIA_NOT_FOUND"] * 5


async def test_only_envoy_names_the_address_of_a_client(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    service = await start(rate_address="3/h", envoy_addresses="192.0.2.0/24", host="0.0.0.0")  # noqa: S104
    eve = await service.caller("eve", exp=1)
    forged = [("x-client-address", f"198.51.100.{number}") for number in range(4)]
    found = [(await get(eve, header)).reason for header in forged]
    assert found == ["TOKEN_EXPIRED"] * 3 + [SPENT]
    (warning,) = [r.getMessage() for r in caplog.records if "x-client-address" in r.getMessage()]
    assert "MEDIA_ENVOY_ADDRESSES" in warning

    async def recorded() -> list[str]:
        found = await entries(service, "address")
        return [str(address) for (address,) in found]

    assert await eventually_async(recorded) == ["127.0.0.1"]


async def test_the_service_accounts_of_a_user_share_the_quota_of_their_owner(start: Start) -> None:
    service = await start(rate_caller="14/h")
    ann = await service.caller("ann")
    robots = []
    for name in ("a", "b"):
        request = credentials_service_pb2.CreateServiceAccountRequest(display_name=name)
        account = await ann.call(ann.credentials.CreateServiceAccount, request)
        create = credentials_service_pb2.CreateApiKeyRequest(
            service_account_id=account.service_account_id
        )
        key = await ann.call(ann.credentials.CreateApiKey, create)
        robots.append(await service.bearer(key.key))
    left = 14
    while await reasons(robots[left % 2], 1) != [SPENT]:
        left -= 1
    assert left > 0  # the calls that made the accounts and keys cost some
    assert await reasons(robots[0], 1) == await reasons(robots[1], 1) == [SPENT]
    assert await reasons(ann, 1) == [SPENT]
    bob = await service.caller("bob")
    assert await reasons(bob, 1) == ["MEDIA_NOT_FOUND"]
