"""Workers send what is due, each webhook in its share, and go on where another one died."""

import json
from datetime import timedelta

import pytest

from media_service.webhooks import deliverer
from media_service.webhooks.disabling import FAILING, UNSENT
from media_service.webhooks.periodic_tasks import disable_unsent, repair_due_times
from media_service.webhooks.queries import due
from media_service.webhooks.resealing import reseal
from media_service.webhooks.secrets import SecretBox
from media_service.webhooks.shares import OF_ACCOUNT, OF_WEBHOOK
from tests.support.plans import Explaining, rows_read
from tests.support.tools import eventually_async
from tests.support.webhook_deliveries import KEY, Hooks
from tests.support.webhook_receiver import Receiver, receiver

# More than the share of an account has room for.
WEBHOOKS = OF_ACCOUNT // OF_WEBHOOK + 2
DAY = timedelta(days=1)
WAITING = "select count(*) from webhook_deliveries where next_time is not null"


async def arrived(opened: Receiver, number: int) -> None:
    async def all_there() -> bool:
        return len(opened.received) >= number

    await eventually_async(all_there)


async def test_a_receiver_that_hangs_delays_neither_others_nor_more_than_its_share(
    hooks: Hooks,
) -> None:
    """Its owner has many webhooks, all of which hang."""
    async with receiver() as opened, hooks.worker():
        base = f"http://127.0.0.1:{opened.port}"
        opened.held = {"/slow"}
        for _ in range(WEBHOOKS):
            await hooks.create(f"{base}/slow", "mallory")
        await hooks.add(OF_WEBHOOK + 1, "mallory")
        await arrived(opened, OF_ACCOUNT)
        await hooks.create(f"{base}/bob", "bob")
        wanted = {event.event_id for event in await hooks.add(20, "bob")}
        await arrived(opened, OF_ACCOUNT + 20)
        by_bob = [each for each in opened.received if each.path == "/bob"]
        assert {each.headers["webhook-id"] for each in by_bob} == wanted
        assert len(opened.received) - len(by_bob) == OF_ACCOUNT
        opened.release.set()
        await arrived(opened, WEBHOOKS * (OF_WEBHOOK + 1) + 20)


async def test_a_claim_that_fails_keeps_no_place(
    hooks: Hooks, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One failure would take all places of the webhook."""
    monkeypatch.setattr(deliverer, "OUTAGE_SECONDS", 0.05)
    refuse = "begin raise exception $$refused$$; end"
    await hooks.change(f"create function refuse() returns trigger language plpgsql as '{refuse}'")
    await hooks.change(
        "create trigger refused before update on webhook_deliveries execute function refuse()"
    )
    try:
        async with receiver() as opened, hooks.worker():
            await hooks.create(f"http://127.0.0.1:{opened.port}/")
            await hooks.add(1)

            async def refused() -> bool:
                return "webhooks wait" in caplog.text

            await eventually_async(refused)
            await hooks.change("drop trigger refused on webhook_deliveries")
            await arrived(opened, 1)
    finally:
        await hooks.change("drop function refuse cascade")


async def test_what_a_worker_that_died_has_claimed_is_sent_by_another(hooks: Hooks) -> None:
    async with receiver() as opened:
        opened.held = {"/"}
        await hooks.create(f"http://127.0.0.1:{opened.port}/")
        await hooks.add(1)
        async with hooks.worker():
            await arrived(opened, 1)
        async with hooks.worker():
            await hooks.add(1)
            await arrived(opened, 2)
            assert await hooks.value("select max(attempts) from webhook_deliveries") == 1
            opened.held.clear()
            await hooks.due_now()  # both attempts that hang, as if their leases had ended
            await arrived(opened, 4)

            async def none_waits() -> bool:
                opened.release.set()
                return await hooks.value(WAITING) == 0

            await eventually_async(none_waits)
        ids = [each.headers["webhook-id"] for each in opened.received]
        assert sorted(map(ids.count, set(ids))) == [2, 2]


async def test_after_the_last_attempt_a_delivery_has_failed_and_a_dead_webhook_is_disabled(
    hooks: Hooks,
) -> None:
    """The event of that is for its owner, and tells no secret."""
    async with receiver() as opened, hooks.worker():
        opened.answers = [500] * 4
        webhook_id = await hooks.create(f"http://127.0.0.1:{opened.port}/")
        await hooks.add(1)
        await arrived(opened, 1)

        async def ended(number: int) -> bool:
            failed = "select count(*) from webhook_deliveries where failed_time is not null"
            return await hooks.value(failed) == number

        async def attempt_last() -> None:
            await eventually_async(failing)
            await hooks.change("update webhook_deliveries set attempts = 11 where status = 500")
            await hooks.due_now()

        async def failing() -> bool:
            noted = "select failing_since is not null from webhooks"
            tried = f"{WAITING} and status = 500"
            return bool(await hooks.value(noted)) and await hooks.value(tried) == 1

        await attempt_last()
        await eventually_async(lambda: ended(1))
        assert await hooks.value("select disable_reason from webhooks") == ""
        kept = "select count(body) from webhook_deliveries where failed_time is not null"
        assert await hooks.value(kept) == 0
        await hooks.add(1)
        await arrived(opened, 3)
        await hooks.change("update webhooks set failing_since = now() - %s", 6 * DAY)
        await attempt_last()
        await eventually_async(lambda: ended(2))

        async def disabled() -> bool:
            return await hooks.value("select disable_reason from webhooks") == FAILING

        await eventually_async(disabled)
        found = await hooks.value("select event from event_outbox")
        event = json.loads(found) if isinstance(found, str) else found
        assert isinstance(event, dict)
        assert (event["type"], event["subject"]) == ("webhook.disabled", f"webhook/{webhook_id}")
        assert (event["data"], event["owner_id"]) == ({"disableReason": FAILING}, "ann")
        audited = "select actor_type from audit_entries where action = 'webhooks.disable'"
        assert await hooks.value(audited) == "service"


async def test_a_worker_without_the_key_leaves_webhooks_to_others_until_nobody_has_it(
    hooks: Hooks,
) -> None:
    other = SecretBox(["o" * 32])
    async with receiver() as opened:
        url = f"http://127.0.0.1:{opened.port}/"
        theirs, mine = await hooks.create(url, box=other), await hooks.create(url)
        async with hooks.worker():
            await hooks.add(1)
            await arrived(opened, 1)
        tries = "select attempts from webhook_deliveries where webhook_id = %s"
        assert [await hooks.value(tries, each) for each in (theirs, mine)] == [0, 1]
        async with hooks.worker(other):
            await arrived(opened, 2)
        async with hooks.database.connection() as db:
            await db.execute("update webhooks set due_time = now() - interval '8 days'")
        async for _ in disable_unsent(hooks.database):
            continue
        unsent = "select count(*) from webhooks where disable_reason = %s"
        assert await hooks.value(unsent, UNSENT) == 2


async def test_secrets_get_the_first_key_and_then_need_no_other(hooks: Hooks) -> None:
    webhook_id = await hooks.create("https://hooks.example.com/")
    lost = await hooks.create("https://hooks.example.com/", box=SecretBox(["lost" * 8]))
    await hooks.change("update webhooks set old_secret = secret")
    new = "n" * 32
    assert await reseal(hooks.database, SecretBox([new, KEY])) == (1, {lost})
    assert await reseal(hooks.database, SecretBox([new])) == (0, {lost})
    async with hooks.database.transaction() as tx:
        await tx.execute("update webhooks set due_time = now()")
        found = {each.webhook.webhook_id: each for each in await due.due_webhooks(tx, ([], []), 9)}
    secret, old = SecretBox([new]).open(webhook_id, found[webhook_id].webhook.sealed)
    assert secret == old


async def test_only_webhooks_that_are_due_are_read(hooks: Hooks) -> None:
    """And those that a worker of an older version has made due, once."""
    await hooks.change(
        "insert into webhooks (webhook_id, resource, org_id, owner_type, owner_id, claimed_org_id,"
        " claimed_issuer, url, types, description, secret, due_time)"
        " select gen_random_uuid(), '', '', 'user', 'u' || n, '', '', '', '{}', '', '',"
        " case when n <= 300 then now() + n * interval '1 hour' end"
        " from generate_series(1, 2000) n"
    )
    await hooks.change("analyze webhooks")
    old = await hooks.create("https://hooks.example.com/")
    await hooks.change(
        "insert into webhook_deliveries (webhook_id, event_id, event_type, body)"
        " values (%s, gen_random_uuid(), 'media.created', '{}')",
        old,
    )
    async with hooks.database.connection() as db:
        explaining = Explaining(db)
        assert await due.seconds_until_due(explaining.connection, ([], [])) is not None
        assert rows_read(explaining.plans[0], "webhooks") <= 2
    assert [number async for number in repair_due_times(hooks.database)] == [1]
    async with hooks.database.transaction() as tx:
        (found,) = await due.due_webhooks(tx, ([], []), 9)
        assert found.webhook.webhook_id == old
        assert await due.due_webhooks(tx, ([old], []), 9) == []
        assert await due.due_webhooks(tx, ([], ["user:ann"]), 9) == []
