"""Service accounts and their API keys: created, used, restricted, revoked, found again."""

import asyncio
import hashlib
import re
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from mediaservice.v1 import credentials_service_pb2 as pb
from mediaservice.v1 import (
    media_service_pb2,
    upload_service_pb2,
    watch_service_pb2,
    watch_service_pb2_grpc,
)
from psycopg.sql import SQL

from media_service.clock import now
from media_service.credentials import last_use, service
from media_service.credentials.key_text import new_key
from media_service.db.database import Database
from media_service.ids import new_id
from media_service.rpc import authentication
from tests.support.media.small_files import jpeg
from tests.support.rpc.credentials import account, api_key
from tests.support.rpc.server import Caller, Running, Start, refused
from tests.support.rpc.sharing import create_organization, grant, grants, make_administrator


@pytest.fixture
def running(service: Running) -> Running:
    return service


LIST = media_service_pb2.ListMediaRequest()
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED


async def revoke(caller: Caller, key: pb.CreateApiKeyResponse) -> pb.ApiKey:
    request = pb.RevokeApiKeyRequest(api_key_id=key.api_key.api_key_id)
    revoked: pb.ApiKey = await caller.call(caller.credentials.RevokeApiKey, request)
    return revoked


async def listed(caller: Caller, **fields: Any) -> list[pb.ApiKey]:
    request = pb.ListApiKeysRequest(**fields)
    return list((await caller.call(caller.credentials.ListApiKeys, request)).api_keys)


async def program(running: Running, ann: Caller, **fields: Any) -> Caller:
    """A caller with a new key of a new service account."""
    created = await api_key(ann, await account(ann), **fields)
    return await running.bearer(created.key)


async def test_a_service_account_owns_what_it_uploads(running: Running, ann: Caller) -> None:
    account_id = await account(ann)
    key = (await api_key(ann, account_id)).key
    robot = await running.bearer(key)
    media = await robot.store(jpeg())
    owner = media.owner
    assert (owner.type, owner.id, owner.organization_id) == ("service_account", account_id, "")
    assert len((await robot.call(robot.media.ListMedia, LIST)).media) == 1
    assert not (await ann.call(ann.media.ListMedia, LIST)).media
    for headers in ((("x-api-key", key),), (("authorization", f"bearer {key}"),)):
        assert (await robot.media.ListMedia(LIST, metadata=headers)).media == [media]


async def test_only_the_hash_of_a_secret_is_stored(running: Running, ann: Caller) -> None:
    created = await api_key(ann, await account(ann))
    match = re.fullmatch(r"msk_([a-z0-9]{12})_([A-Za-z0-9]{43})", created.key)
    assert match
    assert match[1] == created.api_key.prefix
    async with running.database() as db:
        rows = await (await db.execute("select k::text from api_keys k")).fetchall()
        assert created.key not in str(rows)
        assert match[2] not in str(rows)
        assert hashlib.sha256(match[2].encode()).hexdigest() in str(rows)


async def test_two_credentials_in_a_call_are_refused(running: Running, ann: Caller) -> None:
    robot = await program(running, ann)
    both = (*ann.metadata, ("x-api-key", robot.token))
    refusal = await refused(ann.media.ListMedia(LIST, metadata=both))
    assert (refusal.code, refusal.reason) == (UNAUTHENTICATED, "TOKEN_INVALID")
    twice = (*robot.metadata, ("x-api-key", robot.token))
    assert not (await robot.media.ListMedia(LIST, metadata=twice)).media


async def test_a_wrong_key_is_refused_like_one_that_does_not_exist(
    running: Running, ann: Caller
) -> None:
    good = (await api_key(ann, await account(ann))).key
    wrong = f"{good[:-1]}{'a' if good[-1] != 'a' else 'b'}"
    found = set()
    for key in (wrong, new_key().text, "msk_", "msk_x_y", good[:-1], f"{good}x", f"{good}."):
        metadata = (("authorization", f"Bearer {key}"),)
        refusal = await refused(ann.media.ListMedia(LIST, metadata=metadata))
        assert key not in refusal.message
        found.add((refusal.code, refusal.reason, refusal.message))
    assert len(found) == 1
    assert {each[:2] for each in found} == {(UNAUTHENTICATED, "TOKEN_INVALID")}


async def test_a_revoked_key_is_refused_by_every_server(start: Start) -> None:
    first, second = await start(), await start()
    ann = await first.caller("ann")
    key = await api_key(ann, await account(ann))
    callers = [await first.bearer(key.key), await second.bearer(key.key)]
    for robot in callers:
        await robot.call(robot.media.ListMedia, LIST)
    revoked = await revoke(ann, key)
    assert revoked.HasField("revoke_time")
    for robot in callers:
        refusal = await refused(robot.call(robot.media.ListMedia, LIST))
        assert (refusal.code, refusal.reason) == (UNAUTHENTICATED, "TOKEN_INVALID")
    assert await revoke(ann, key) == revoked


async def test_deleting_a_service_account_ends_its_keys_and_keeps_its_media(
    running: Running, ann: Caller
) -> None:
    account_id = await account(ann)
    key = await api_key(ann, account_id)
    robot = await running.bearer(key.key)
    media = await robot.store(jpeg())
    request = pb.DeleteServiceAccountRequest(service_account_id=account_id)
    deleted = await ann.call(ann.credentials.DeleteServiceAccount, request)
    assert deleted.HasField("delete_time")
    assert await ann.call(ann.credentials.DeleteServiceAccount, request) == deleted
    refusal = await refused(robot.call(robot.media.ListMedia, LIST))
    assert refusal.reason == "TOKEN_INVALID"
    refusal = await refused(api_key(ann, account_id))
    assert refusal.reason == "SERVICE_ACCOUNT_NOT_FOUND"
    answer = await ann.call(ann.credentials.ListServiceAccounts, pb.ListServiceAccountsRequest())
    assert not answer.service_accounts
    (old,) = await listed(ann)
    assert old.HasField("revoke_time")
    async with running.database() as db:
        rows = await db.execute("select media_id::text from media where delete_time is null")
        assert await rows.fetchall() == [(media.media_id,)]


async def test_an_expired_key_is_refused(running: Running, ann: Caller) -> None:
    expires = Timestamp()
    expires.FromDatetime(now() + timedelta(hours=1))
    key = await api_key(ann, await account(ann), expire_time=expires)
    robot = await running.bearer(key.key)
    await robot.call(robot.media.ListMedia, LIST)
    async with running.database() as db:
        await db.execute("update api_keys set expire_time = now()")
    refusal = await refused(robot.call(robot.media.ListMedia, LIST))
    assert (refusal.code, refusal.reason) == (UNAUTHENTICATED, "TOKEN_EXPIRED")
    past = Timestamp(seconds=1)
    refusal = await refused(api_key(ann, await account(ann), expire_time=past))
    assert (refusal.reason, refusal.fields) == ("INVALID_FIELD", ["expire_time"])


async def test_a_key_has_only_the_permissions_of_its_scopes(running: Running, ann: Caller) -> None:
    robot = await program(running, ann, scopes=["uploads.*", "media.read"])
    media = await robot.store(jpeg())
    request = media_service_pb2.DeleteMediaRequest(media_id=media.media_id)
    refusal = await refused(robot.call(robot.media.DeleteMedia, request))
    assert (refusal.reason, refusal.metadata) == ("SCOPE_MISSING", {"permission": "media.delete"})


async def test_a_key_cannot_have_more_permissions_than_its_creator(running: Running) -> None:
    limited = await running.caller("ann", scope="credentials.* media.read uploads.*")
    account_id = await account(limited)
    for scopes, missing in (
        ([], "*"),
        (["*"], "*"),
        (["media.*"], "media.*"),
        (["media.read", "media.write"], "media.write"),
    ):
        refusal = await refused(api_key(limited, account_id, scopes=scopes))
        assert refusal.reason == "SCOPE_MISSING"
        assert refusal.metadata == {"permission": missing}
    for scopes in (["media.read"], ["uploads.*", "uploads.read"]):
        assert (await api_key(limited, account_id, scopes=scopes)).api_key.scopes == scopes


@pytest.mark.parametrize(
    ("scopes", "field"),
    [
        (["media.raed"], "scopes[0]"),
        (["media.read", "medium.*"], "scopes[1]"),
        (["Media.Read"], "scopes[0]"),
        ([""], "scopes[0]"),
        (["media.read", "media.read"], "scopes"),
    ],
)
async def test_a_scope_that_does_not_exist_is_refused(
    ann: Caller, scopes: list[str], field: str
) -> None:
    refusal = await refused(api_key(ann, await account(ann), scopes=scopes))
    assert (refusal.reason, refusal.fields) == ("INVALID_FIELD", [field])
    if scopes == ["media.raed"]:
        assert "did you mean media.read?" in refusal.message


async def test_a_service_account_cannot_manage_credentials(running: Running, ann: Caller) -> None:
    robot = await program(running, ann)
    for call in (
        account(robot),
        listed(robot),
        api_key(robot, new_id()),
        robot.call(robot.credentials.ListServiceAccounts, pb.ListServiceAccountsRequest()),
        robot.call(
            robot.credentials.DeleteServiceAccount,
            pb.DeleteServiceAccountRequest(service_account_id=new_id()),
        ),
        robot.call(robot.credentials.RevokeApiKey, pb.RevokeApiKeyRequest(api_key_id=new_id())),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.PERMISSION_DENIED,
            "USER_REQUIRED",
        )


async def test_accounts_and_keys_of_others_do_not_exist(
    running: Running, ann: Caller, bob: Caller
) -> None:
    account_id = await account(ann)
    key = await api_key(ann, account_id)
    in_org = await running.caller("ann", org="acme")
    for stranger in (bob, in_org):
        refusal = await refused(api_key(stranger, account_id))
        assert (refusal.reason, refusal.metadata) == (
            "SERVICE_ACCOUNT_NOT_FOUND",
            {"service_account_id": account_id},
        )
        refusal = await refused(revoke(stranger, key))
        assert (refusal.reason, refusal.metadata) == (
            "API_KEY_NOT_FOUND",
            {"api_key_id": key.api_key.api_key_id},
        )
        assert await listed(stranger) == await listed(stranger, prefix=key.api_key.prefix) == []
    assert [each.prefix for each in await listed(ann)] == [key.api_key.prefix]


async def in_acme(running: Running, user: str, role: str) -> Caller:
    """A member of the organization acme, which is bound to another issuer than that of tokens. So
    only the grant makes the user a member."""
    root = await running.caller("root")
    if user == "ann":
        await make_administrator(running, "root")
        await create_organization(root, "acme")
        async with running.database() as db:
            await db.execute("update organizations set issuer = 'https://other.example'")
    await grant(root, "organization:acme", f"user:{user}", role)
    return await running.caller(user, org="acme")


async def test_a_service_account_of_an_organization_is_a_member_of_it(running: Running) -> None:
    ann = await in_acme(running, "ann", "MANAGER")
    account_id = await account(ann)
    robot = await running.bearer((await api_key(ann, account_id)).key)
    assert (await robot.store(jpeg())).owner.organization_id == "acme"
    theirs = await ann.store(jpeg())
    read = media_service_pb2.GetMediaRequest(media_id=theirs.media_id)
    assert (await refused(robot.call(robot.media.GetMedia, read))).reason == "MEDIA_NOT_FOUND"
    await grant(ann, f"media:{theirs.media_id}", f"service_account:{account_id}")
    assert await robot.call(robot.media.GetMedia, read) == theirs


async def test_service_accounts_of_an_organization_are_managed_by_its_managers(
    running: Running,
) -> None:
    ann = await in_acme(running, "ann", "MANAGER")
    eve = await in_acme(running, "eve", "EDITOR")
    key = await api_key(ann, account_id := await account(ann))
    await grant(ann, "organization:acme", f"service_account:{account_id}", "VIEWER")
    for call in (account(eve), api_key(eve, account_id), revoke(eve, key)):
        assert (await refused(call)).reason == "ROLE_REQUIRED"
    assert not await listed(eve)
    bob = await in_acme(running, "bob", "MANAGER")
    assert [each.prefix for each in await listed(bob)] == [key.api_key.prefix]
    request = pb.DeleteServiceAccountRequest(service_account_id=account_id)
    assert (await bob.call(bob.credentials.DeleteServiceAccount, request)).HasField("delete_time")
    assert f"service_account:{account_id}" not in await grants(bob, "organization:acme")
    stranger = await running.caller("ann", org="nowhere")
    refusal = await refused(account(stranger))
    assert (refusal.reason, refusal.metadata) == (
        "ORGANIZATION_NOT_FOUND",
        {"organization_id": "nowhere"},
    )


async def test_lists_are_paged_and_keys_are_found_by_prefix(ann: Caller) -> None:
    accounts = [await account(ann, f"robot {number}") for number in range(3)]
    request = pb.ListServiceAccountsRequest(page_size=2)
    first = await ann.call(ann.credentials.ListServiceAccounts, request)
    request.page_token = first.next_page_token
    rest = await ann.call(ann.credentials.ListServiceAccounts, request)
    both = [*first.service_accounts, *rest.service_accounts]
    assert [each.service_account_id for each in both] == accounts[::-1]
    assert not rest.next_page_token
    keys = [(await api_key(ann, accounts[0])).api_key for _ in range(3)]
    other = (await api_key(ann, accounts[1], display_name="server 3")).api_key
    keys_request = pb.ListApiKeysRequest(page_size=2, service_account_id=accounts[0].upper())
    page = await ann.call(ann.credentials.ListApiKeys, keys_request)
    keys_request.page_token = page.next_page_token
    last = await ann.call(ann.credentials.ListApiKeys, keys_request)
    assert [*page.api_keys, *last.api_keys] == keys[::-1]
    assert await listed(ann, prefix=other.prefix) == [other]
    keys_request.service_account_id = accounts[1]
    refusal = await refused(ann.call(ann.credentials.ListApiKeys, keys_request))
    assert refusal.reason == "INVALID_PAGE_TOKEN"


async def test_a_repeated_request_creates_nothing_and_shows_no_secret(ann: Caller) -> None:
    request = pb.CreateServiceAccountRequest(display_name="robot", request_id=new_id())
    first = await ann.call(ann.credentials.CreateServiceAccount, request)
    assert await ann.call(ann.credentials.CreateServiceAccount, request) == first
    fields = {"display_name": "a", "scopes": ["media.read"], "request_id": new_id()}
    key = await api_key(ann, first.service_account_id, **fields)
    again = await api_key(ann, first.service_account_id.upper(), **fields)
    assert (key.key[:4], again.key) == ("msk_", "")
    assert again.api_key == key.api_key
    assert len(await listed(ann)) == 1
    fields["display_name"] = "b"
    refusal = await refused(api_key(ann, first.service_account_id, **fields))
    assert refusal.reason == "IDEMPOTENCY_CONFLICT"


async def test_the_number_of_accounts_and_keys_is_limited(
    ann: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MAX_ACCOUNTS", 1)
    monkeypatch.setattr(service, "MAX_KEYS", 2)
    many = await asyncio.gather(*(account(ann) for _ in range(8)), return_exceptions=True)
    (account_id,) = [each for each in many if isinstance(each, str)]
    refusal = await refused(account(ann))
    assert (refusal.reason, refusal.metadata) == ("CREDENTIAL_LIMIT_EXCEEDED", {"limit": "1"})
    key = await api_key(ann, account_id)
    await api_key(ann, account_id)
    refusal = await refused(api_key(ann, account_id))
    assert (refusal.reason, refusal.metadata) == ("CREDENTIAL_LIMIT_EXCEEDED", {"limit": "2"})
    await revoke(ann, key)
    assert await api_key(ann, account_id)


async def test_the_last_use_is_recorded_at_most_once_a_minute(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_use, "FLUSH_SECONDS", 0.05)
    running = await start()
    ann = await running.caller("ann")
    robot = await program(running, ann)
    (key,) = await listed(ann)
    assert not key.HasField("last_use_time")

    async def used_again() -> Timestamp:
        while True:
            await robot.call(robot.media.ListMedia, LIST)
            (found,) = await listed(ann)
            if found.last_use_time != key.last_use_time:
                return found.last_use_time
            await asyncio.sleep(0.01)

    key.last_use_time.CopyFrom(await used_again())
    async with running.database() as db:
        writes = "select xmin::text from api_keys"
        before = await (await db.execute(writes)).fetchall()
        for _ in range(20):
            await robot.call(robot.media.ListMedia, LIST)
            await asyncio.sleep(0.01)
        assert await (await db.execute(writes)).fetchall() == before
        await db.execute("update api_keys set last_use_time = now() - interval '2 minutes'")
        (key,) = await listed(ann)
        assert (await used_again()).ToDatetime() > key.last_use_time.ToDatetime()


async def test_streams_of_a_revoked_key_end(
    running: Running, ann: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "CHECK_SECONDS", 0.05)
    key = await api_key(ann, await account(ann))
    robot = await running.bearer(key.key)
    upload = await robot.create(filename="a.jpg")
    watch = robot.uploads.WatchUpload(
        upload_service_pb2.WatchUploadRequest(upload_id=upload.upload_id), metadata=robot.metadata
    )
    assert await watch.read()
    await asyncio.sleep(0.2)
    assert not watch.done()
    await revoke(ann, key)

    async def rest() -> None:
        while await watch.read() is not grpc.aio.EOF:
            pass

    refusal = await refused(asyncio.wait_for(rest(), 20))
    assert (refusal.code, refusal.reason) == (UNAUTHENTICATED, "TOKEN_INVALID")


async def test_a_ticket_of_a_revoked_key_opens_nothing(running: Running, ann: Caller) -> None:
    key = await api_key(ann, await account(ann))
    robot = await running.bearer(key.key)
    upload = await robot.create(filename="a.jpg")
    tickets = watch_service_pb2_grpc.WatchServiceStub(robot.channel)
    request = watch_service_pb2.CreateWatchTicketRequest(upload_id=upload.upload_id)
    ticket = (await robot.call(tickets.CreateWatchTicket, request)).ticket
    await revoke(ann, key)
    watch = upload_service_pb2.WatchUploadEventsRequest(upload_id=upload.upload_id, ticket=ticket)

    async def events() -> None:
        async for _ in robot.uploads.WatchUploadEvents(watch):
            pass

    refusal = await refused(events())
    assert (refusal.code, refusal.reason) == (UNAUTHENTICATED, "TOKEN_INVALID")


async def test_keys_that_ended_long_ago_are_removed(running: Running, ann: Caller) -> None:
    account_id = await account(ann)
    kept, expired, revoked = [await api_key(ann, account_id) for _ in range(3)]
    async with running.database() as db:
        for key, column in ((expired, SQL("expire_time")), (revoked, SQL("revoke_time"))):
            old = SQL("update api_keys set {} = now() - interval '91 days' where prefix = %s")
            await db.execute(old.format(column), (key.api_key.prefix,))
    async with Database(running.database_url, 2) as database:
        assert [removed async for removed in service.remove_ended_keys(database)] == [2]
    assert [each.prefix for each in await listed(ann)] == [kept.api_key.prefix]
