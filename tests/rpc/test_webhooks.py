"""Webhooks: who may have them, what arrives, and what happens if it does not."""

import json
from datetime import UTC, timedelta
from functools import partial

import pytest
from google.protobuf.json_format import MessageToJson
from mediaservice.v1 import media_pb2
from mediaservice.v1 import webhook_service_pb2 as messages

from media_service.clock import now
from media_service.webhooks import service as service_module
from media_service.webhooks.secrets import SecretBox
from tests.support.media.small_files import jpeg
from tests.support.rpc import catalogue, webhooks
from tests.support.rpc.server import Caller, Running, Start, refused, unknown_id
from tests.support.rpc.sharing import (
    add_project,
    create_organization,
    create_project,
    grant,
    make_administrator,
    revoke,
    store_in,
)
from tests.support.standard_webhooks import verified
from tests.support.tools import eventually_async
from tests.support.webhook_receiver import Received, Receiver, receiver

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

        async def disabled() -> bool:
            found = await webhooks.get(carol, webhook_id)
            return found.disable_reason == "the receiver answered 410"

        await eventually_async(disabled)


async def due_now(service: Running, webhook_id: str) -> None:
    async with service.database() as db:
        await db.execute(
            "with made_due as (update webhook_deliveries set next_time = now()"
            " where webhook_id = %(id)s and next_time is not null)"
            " update webhooks set due_time = now() where webhook_id = %(id)s",
            {"id": webhook_id},
        )
        await db.execute("notify media_webhookdue, '{}'")


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
        # The grant itself may have been sent before it was revoked.
        assert not [each for each in opened.received if b'"media.' in each.body]


async def test_a_webhook_of_an_organization_gets_its_events_of_some_types_and_projects(
    hooked: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that happened while it was disabled, if they are sent again."""
    await make_administrator(hooked, "root")
    root, erin = await hooked.caller("root"), await hooked.caller("erin")
    await create_organization(root, "acme")
    await grant(root, "organization:acme", "user:erin", "MANAGER")
    for project in ("spring", "autumn"):
        await add_project(hooked, project, "finn", "acme")
    finn = await hooked.caller("finn", org="acme")
    began = now()
    async with receiver() as opened:
        base = f"http://127.0.0.1:{opened.port}"
        made = await webhooks.create(
            erin,
            f"{base}/wrong",
            resource="organization:acme",
            event_types=["job.*"],
            project_ids=["winter"],
        )
        webhook_id = made.webhook.webhook_id
        fields = {"url": f"{base}/new", "event_types": ["media.created"], "description": "CDN"}
        changed = await webhooks.update(erin, webhook_id, **fields, project_ids=["spring"])
        assert (changed.url, changed.description) == (f"{base}/new", "CDN")
        assert (list(changed.event_types), list(changed.project_ids)) == (
            ["media.created"],
            ["spring"],
        )
        await store_in(finn, "autumn", jpeg())
        first = await store_in(finn, "spring", jpeg())

        async def told() -> set[str]:
            assert {each.path for each in opened.received} <= {"/new"}
            return {json.loads(each.body)["subject"] for each in opened.received}

        def subjects(*media: media_pb2.Media) -> set[str]:
            return {f"media/{each.media_id}" for each in media}

        async def are_told(*media: media_pb2.Media) -> bool:
            return await told() == subjects(*media)

        await eventually_async(lambda: are_told(first))
        disabled = await webhooks.update(erin, webhook_id, enabled=False)
        assert (disabled.enabled, disabled.disable_reason) == (False, "a caller has disabled it")
        second = await store_in(finn, "spring", jpeg())
        refusal = await refused(webhooks.redeliver(erin, webhook_id, start_time=began))
        assert (refusal.reason, refusal.metadata) == (
            "WEBHOOK_DISABLED",
            {"webhook_id": webhook_id},
        )
        await eventually_async(lambda: all_relayed(hooked))
        assert (await webhooks.update(erin, webhook_id, enabled=True)).enabled
        third = await store_in(finn, "spring", jpeg())
        await eventually_async(lambda: are_told(first, third))
        again = await webhooks.redeliver(erin, webhook_id, start_time=began)
        assert (again.redelivered, again.next_cursor) == (1, "")
        await eventually_async(lambda: are_told(first, second, third))
        first_event = next(e for e in opened.received if first.media_id.encode() in e.body)
        event_id = first_event.headers["webhook-id"]
        assert (await webhooks.redeliver(erin, webhook_id, event_id=event_id)).redelivered == 1

        async def twice() -> bool:
            return [e.headers["webhook-id"] for e in opened.received].count(event_id) == 2

        await eventually_async(twice)
        await eventually_async(lambda: none_waits(hooked))
        cursor = json.loads(first_event.body)["cursor"]
        monkeypatch.setattr(service_module, "REDELIVERED", 1)
        for sent in (1, 1, 0):
            rest = await webhooks.redeliver(erin, webhook_id, cursor=cursor, delivered=True)
            assert rest.redelivered == sent
            cursor = rest.next_cursor
        assert cursor == ""
        await eventually_async(lambda: none_waits(hooked))
        assert len(opened.received) == 6
        await webhooks.update(erin, webhook_id, ["project_ids", "event_types"])
        assert not (await webhooks.get(erin, webhook_id)).project_ids


async def all_relayed(service: Running) -> bool:
    """Whether every event has reached the sink, which matches it with webhooks as they are then."""
    async with service.database() as db:
        rows = await db.execute(
            "select not exists (select from event_outbox) and l.last_cursor = s.cursor"
            " from event_log l cross join event_sinks s where s.name = 'webhooks'"
        )
        return await rows.fetchone() == (True,)


async def none_waits(service: Running) -> bool:
    async with service.database() as db:
        rows = await db.execute(
            "select count(*) from webhook_deliveries where next_time is not null"
        )
        return await rows.fetchone() == (0,)


async def test_both_secrets_sign_until_the_old_one_ends(hooked: Running) -> None:
    gus = await hooked.caller("gus")
    async with receiver() as opened:
        url = f"http://127.0.0.1:{opened.port}/"
        made = await webhooks.create(gus, url, event_types=["media.created"])
        webhook_id = made.webhook.webhook_id
        rotated = await webhooks.rotate(gus, webhook_id, timedelta(hours=1))
        ends = rotated.webhook.old_secret_expire_time.ToDatetime(UTC)
        assert timedelta(minutes=59) < ends - now() <= timedelta(hours=1)

        async def next_message() -> list[Received]:
            opened.received.clear()
            await gus.store(jpeg())

            async def arrived() -> bool:
                return bool(opened.received)

            await eventually_async(arrived)
            return opened.received[:]

        both = await next_message()
        for secret in (made.secret, rotated.secret):
            assert verified(secret, both) == ["media.created"]
        newest = await webhooks.rotate(gus, webhook_id, timedelta())
        assert not newest.webhook.HasField("old_secret_expire_time")
        one = await next_message()
        assert verified(newest.secret, one) == ["media.created"]
        assert verified(rotated.secret, one) is None


async def test_a_server_encrypts_the_secrets_of_before_with_the_keys_of_webhooks(
    start: Start,
) -> None:
    """They were encrypted with the keys of links. So workers do not need these any more."""
    links, key = "l" * 32, "w" * 32
    before = await start(link_keys=links)
    ann = await before.caller("ann")
    webhook_id = (await webhooks.create(ann, URL)).webhook.webhook_id
    after = await start(link_keys=links, webhook_keys=key)

    async def sealed() -> bool:
        async with after.database() as db:
            rows = await db.execute(
                "select secret_key from webhooks where webhook_id = %s", (webhook_id,)
            )
            return await rows.fetchone() == (SecretBox([key]).key,)

    await eventually_async(sealed)


async def test_what_cannot_be_changed_or_sent_again_is_refused(
    service: Running, ann: Caller, bob: Caller
) -> None:
    project = (await create_project(ann)).project_id
    resource = f"project:{project}"
    await grant(ann, resource, "user:bob", "MANAGER")
    webhook_id = (await webhooks.create(bob, URL, resource=resource)).webhook.webhook_id
    for fields in (
        {"url": "http://10.0.0.1/"},
        {"event_types": ["media.no"]},
        {"project_ids": ["x"]},
    ):
        assert (await refused(webhooks.update(ann, webhook_id, **fields))).reason == "INVALID_FIELD"
    unknown = await refused(webhooks.update(ann, webhook_id, ["secret"]))
    assert unknown.reason == "INVALID_UPDATE_MASK"
    await webhooks.update(ann, webhook_id, enabled=False)
    await revoke(ann, resource, "user:bob")
    left = await refused(webhooks.update(ann, webhook_id, enabled=True))
    assert (left.reason, left.fields) == ("INVALID_FIELD", ["enabled"])
    mine = (await webhooks.create(ann, URL)).webhook.webhook_id
    event_id = unknown_id()
    missing = await refused(webhooks.redeliver(ann, mine, event_id=event_id))
    assert (missing.reason, missing.metadata) == (
        "WEBHOOK_DELIVERY_NOT_FOUND",
        {"event_id": event_id},
    )
    for which in ({}, {"event_id": event_id, "cursor": "1-1"}, {"cursor": "none"}):
        assert (await refused(webhooks.redeliver(ann, mine, **which))).reason == "INVALID_FIELD"
    old = await refused(webhooks.redeliver(ann, mine, cursor="1-1"))
    assert old.reason == "CURSOR_EXPIRED"
    for call in (webhooks.update, webhooks.rotate, partial(webhooks.redeliver, cursor="1-1")):
        assert (await refused(call(bob, mine))).reason == "WEBHOOK_NOT_FOUND"


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


async def test_a_url_that_is_private_an_unknown_type_and_one_too_many_are_refused(
    ann: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url in ("https://127.0.0.1/", "http://example.com/", "https://[::ffff:10.0.0.1]/"):
        assert (await refused(webhooks.create(ann, url))).reason == "INVALID_FIELD"
    monkeypatch.setattr(service_module, "MAX_WEBHOOKS", 0)
    full = await refused(webhooks.create(ann, URL))
    assert (full.reason, full.metadata) == ("CREDENTIAL_LIMIT_EXCEEDED", {"limit": "0"})
    for name in ("media.creatde", "nothing.*"):
        refusal = await refused(webhooks.create(ann, URL, event_types=[name]))
        assert refusal.reason == "INVALID_FIELD"
