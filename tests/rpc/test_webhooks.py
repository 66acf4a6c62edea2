"""Webhooks: who may have them, what arrives, and what happens if it does not."""

import json

import pytest
from google.protobuf.json_format import MessageToJson
from mediaservice.v1 import webhook_service_pb2 as messages

from tests.support.media.small_files import jpeg
from tests.support.rpc import catalogue, webhooks
from tests.support.rpc.server import Caller, Running, Start, refused
from tests.support.rpc.sharing import add_project, create_project, grant, revoke, store_in
from tests.support.standard_webhooks import verified
from tests.support.tools import eventually_async
from tests.support.webhook_receiver import Receiver, receiver

PRIVATE = {"webhooks_private": "127.0.0.1/32"}
URL = "https://hooks.example.com/media"
State = messages.WebhookDelivery.State


@pytest.fixture
async def hooked(lend: Start) -> Running:
    """A server with a worker, whose webhooks may go to this machine."""
    return await lend(work=True, **PRIVATE)


def types(opened: Receiver, path: str) -> list[str]:
    return [json.loads(e.body)["type"] for e in opened.received if e.path == path]


async def test_events_arrive_signed_and_only_those_that_match(hooked: Running) -> None:
    ann, bob = await hooked.caller("ann"), await hooked.caller("bob")
    async with receiver() as opened:
        base = f"http://127.0.0.1:{opened.port}"
        every = await webhooks.create(ann, f"{base}/all")
        await webhooks.create(ann, f"{base}/deleted", event_types=["media.deleted"])
        await webhooks.create(ann, f"{base}/media", event_types=["media.*"])
        await webhooks.create(bob, f"{base}/bob")
        media = await ann.store(jpeg())
        await catalogue.delete(ann, media.media_id)

        async def complete() -> bool:
            paths = [f"/{path}" for path in ("all", "deleted", "media")]
            return all("media.deleted" in types(opened, path) for path in paths)

        await eventually_async(complete)
        assert types(opened, "/deleted") == ["media.deleted"]
        assert {each.partition(".")[0] for each in types(opened, "/media")} == {"media"}
        assert types(opened, "/bob") == []
        of_all = [each for each in opened.received if each.path == "/all"]
        assert sorted(verified(every.secret, of_all) or []) == sorted(types(opened, "/all"))
        first = next(each for each in of_all if b'"media.created"' in each.body)
        envelope = json.loads(first.body)
        assert envelope["id"] == first.headers["webhook-id"]
        assert (envelope["specversion"], envelope["subject"]) == ("1.0", f"media/{media.media_id}")

        async def logged() -> bool:
            log = await webhooks.deliveries(ann, every.webhook.webhook_id)
            return all(each.state == State.DELIVERED for each in log.deliveries)

        await eventually_async(logged)
        page = await webhooks.deliveries(ann, every.webhook.webhook_id, page_size=1)
        rest = await webhooks.deliveries(
            ann, every.webhook.webhook_id, page_token=page.next_page_token
        )
        log = [*page.deliveries, *rest.deliveries]
        assert {each.event_id for each in log} == {e.headers["webhook-id"] for e in of_all}
        assert {(each.attempts, each.status) for each in log} == {(1, 204)}


async def test_an_event_is_sent_again_until_it_has_arrived(hooked: Running) -> None:
    """A receiver that answers 410 gets no more."""
    carol = await hooked.caller("carol")
    async with receiver() as opened:
        opened.answers = [500]
        url = f"http://127.0.0.1:{opened.port}/"
        made = await webhooks.create(carol, url, event_types=["media.created"])
        webhook_id = made.webhook.webhook_id
        await carol.store(jpeg())

        async def delivery(state: State.ValueType, attempts: int) -> bool:
            log = (await webhooks.deliveries(carol, webhook_id)).deliveries
            return [(each.state, each.attempts) for each in log[:1]] == [(state, attempts)] and (
                log[0].status > 0
            )

        await eventually_async(lambda: delivery(State.PENDING, 1))
        (pending,) = (await webhooks.deliveries(carol, webhook_id)).deliveries
        assert (pending.status, pending.error) == (500, "the receiver answered 500")
        assert pending.next_attempt_time.seconds > pending.create_time.seconds
        await due_now(hooked, webhook_id)
        await eventually_async(lambda: delivery(State.DELIVERED, 2))
        ids = [each.headers["webhook-id"] for each in opened.received]
        assert len(ids) == 2
        assert len(set(ids)) == 1
        opened.answers = [410]
        await carol.store(jpeg())
        await eventually_async(lambda: delivery(State.FAILED, 1))
        webhook = await webhooks.get(carol, webhook_id)
        assert webhook.disable_reason == "the receiver answered 410"


async def due_now(service: Running, webhook_id: str) -> None:
    async with service.database() as db:
        await db.execute(
            "update webhook_deliveries set next_time = now() where webhook_id = %s"
            " and next_time is not null",
            (webhook_id,),
        )


async def test_a_webhook_ends_with_the_role_of_its_creator(hooked: Running) -> None:
    ann, dan = await hooked.caller("ann"), await hooked.caller("dan")
    project = (await create_project(ann)).project_id
    resource = f"project:{project}"
    await grant(ann, resource, "user:dan", "MANAGER")
    async with receiver() as opened:
        made = await webhooks.create(dan, f"http://127.0.0.1:{opened.port}/", resource=resource)
        await revoke(ann, resource, "user:dan")
        await store_in(ann, project, jpeg())

        async def disabled() -> bool:
            found = await webhooks.get(ann, made.webhook.webhook_id)
            return "MANAGER" in found.disable_reason

        await eventually_async(disabled)
        assert not opened.received


async def test_only_managers_of_a_resource_have_its_webhooks(
    service: Running, ann: Caller, bob: Caller
) -> None:
    await add_project(service, "spring")
    resource = "project:spring"
    made = await webhooks.create(ann, URL, resource=resource, description="Site")
    webhook_id = made.webhook.webhook_id
    assert made.secret.startswith("whsec_")
    assert await webhooks.get(ann, webhook_id.upper()) == made.webhook
    assert made.webhook.creator == "user:ann"
    page = await webhooks.listed(ann, resource=resource, page_size=1)
    assert list(page.webhooks) == [made.webhook]
    assert made.secret not in MessageToJson(page)
    assert list((await webhooks.listed(ann)).webhooks) == []
    for call in (webhooks.get, webhooks.delete, webhooks.deliveries):
        assert (await refused(call(bob, webhook_id))).reason == "WEBHOOK_NOT_FOUND"
    hidden = await refused(webhooks.listed(bob, resource=resource))
    assert hidden.reason == "RESOURCE_NOT_FOUND"
    await grant(ann, resource, "user:bob", "EDITOR")
    low = await refused(webhooks.create(bob, URL, resource=resource))
    assert low.reason == "ROLE_REQUIRED"
    await webhooks.delete(ann, webhook_id)
    gone = await refused(webhooks.get(ann, webhook_id))
    assert (gone.reason, gone.metadata) == ("WEBHOOK_NOT_FOUND", {"webhook_id": webhook_id})


async def test_a_url_that_is_private_and_an_unknown_type_are_refused(ann: Caller) -> None:
    for url in ("https://127.0.0.1/", "http://example.com/", "https://[::ffff:10.0.0.1]/"):
        assert (await refused(webhooks.create(ann, url))).reason == "INVALID_FIELD"
    for name in ("media.creatde", "nothing.*"):
        refusal = await refused(webhooks.create(ann, URL, event_types=[name]))
        assert refusal.reason == "INVALID_FIELD"
