"""Share links: who has the secret sees the targets, as long as the link and its creator may."""

import asyncio
import threading
import time
from collections import Counter
from functools import partial
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from mediaservice.v1 import (
    collection_service_pb2,
    credentials_service_pb2,
    download_service_pb2,
    media_pb2,
    media_service_pb2,
)
from mediaservice.v1 import share_link_service_pb2 as links

from media_service.access.fair_turns import FairTurns, Turn
from media_service.share_links import opening, passwords
from media_service.share_links import service as links_service
from tests.support.media.small_files import jpeg
from tests.support.renditions import give
from tests.support.rpc import collections
from tests.support.rpc.audit import entries
from tests.support.rpc.catalogue import delete, update
from tests.support.rpc.catalogue import get as get_media
from tests.support.rpc.credentials import account, api_key
from tests.support.rpc.links import somebody, token_of
from tests.support.rpc.server import Caller, Running, Start, refusal, refused
from tests.support.rpc.share_links import (
    change,
    get,
    listed,
    media_of,
    open_link,
    revoke_link,
    share,
    visitor,
)
from tests.support.rpc.sharing import (
    create_organization,
    create_project,
    grant,
    make_administrator,
    revoke,
    store_in,
)
from tests.support.tools import eventually_async

PASSWORD = "correct horse"
OLDEST = Timestamp(seconds=1)


async def read(caller: Caller, media_id: str, rendition: str = "") -> bytes:
    request = download_service_pb2.GetContentRequest(media_id=media_id, rendition=rendition)
    call = caller.downloads.GetContent(request, metadata=caller.metadata)
    return b"".join([body.data async for body in call])


async def sign(caller: Caller, media_id: str, **how: Any) -> str:
    request = download_service_pb2.SignUrlRequest(media_id=media_id, **how)
    return token_of((await caller.call(caller.downloads.SignUrl, request)).url)


async def reason(call: Any) -> str:
    return (await refused(call)).reason


@pytest.mark.usefixtures("alone")
async def test_the_life_of_a_link_to_a_media(service: Running, ann: Caller, bob: Caller) -> None:
    media_id = (await ann.store(jpeg(), "party.jpg")).media_id
    other_id = (await ann.store(jpeg(), "private.jpg")).media_id
    await give(service.environ, media_id, "small", b"small")
    target = f"media:{media_id}"
    assert await reason(share(bob, target)) == "RESOURCE_NOT_FOUND"
    await grant(ann, target, "user:bob", "EDITOR")
    assert await reason(share(bob, target)) == "ROLE_REQUIRED"
    created = await share(ann, target, display_name="for the caterer")
    link, secret = created.share_link, created.secret
    assert (link.creator, link.uses, list(link.targets)) == ("user:ann", 0, [target])
    assert await reason(open_link(service, f"{secret}x")) == "SHARE_LINK_NOT_FOUND"

    guest = await visitor(service, secret)
    seen = await get_media(guest, media_id)
    assert (seen.filename, seen.HasField("owner")) == ("party.jpg", False)
    assert await media_of(guest) == await media_of(guest, show_deleted=True) == {media_id}
    assert await reason(get_media(guest, other_id)) == "MEDIA_NOT_FOUND"
    # Not even as an answer to a guess does it tell the owner.
    owner = media_pb2.Owner(type="user", id="ann")
    assert await reason(media_of(guest, owner=owner)) == "INVALID_FIELD"
    assert await reason(media_of(guest, filter='owner="ann"')) == "INVALID_FILTER"
    assert await read(guest, media_id, "small") == b"small"
    # A link to view shows no original, also not by a signed URL.
    assert await reason(read(guest, media_id)) == "DOWNLOAD_NOT_ALLOWED"
    assert await reason(guest.content(media_id)) == "DOWNLOAD_NOT_ALLOWED"
    assert await reason(sign(guest, media_id)) == "DOWNLOAD_NOT_ALLOWED"
    request = media_service_pb2.GetMediaRequest(media_id=media_id, sign_read_urls=True)
    urls = await guest.call(guest.media.GetMedia, request)
    assert (urls.read_url, bool(urls.renditions[0].read_url)) == ("", True)
    signed = await sign(guest, media_id, rendition="small", direct=True)
    second = await share(ann, target, mode="DOWNLOAD")
    other_link_id = second.share_link.share_link_id
    downloads = await visitor(service, second.secret)
    assert await read(downloads, media_id) == jpeg()
    # Nothing but reading, also with the token of a session.
    refusal = await refused(update(guest, ["title"], media_id=media_id, title="x"))
    wanted = ("SHARE_LINK_METHOD_NOT_ALLOWED", {"mode": "VIEW"})
    assert (refusal.reason, refusal.metadata) == wanted
    for call in (share(guest, target), guest.create(), listed(guest), delete(guest, media_id)):
        assert await reason(call) == "SHARE_LINK_METHOD_NOT_ALLOWED"

    assert (await get(ann, link.share_link_id)).uses == 1
    assert link.share_link_id in await listed(ann)
    assert link.share_link_id in await listed(ann, target)
    assert await listed(bob) == []
    assert await reason(listed(bob, target)) == "ROLE_REQUIRED"
    assert await reason(get(bob, link.share_link_id)) == "SHARE_LINK_NOT_FOUND"
    assert await reason(revoke_link(bob, link.share_link_id)) == "SHARE_LINK_NOT_FOUND"
    await grant(ann, target, "user:bob", "MANAGER")
    assert (await revoke_link(bob, link.share_link_id)).HasField("revoke_time")
    assert (await revoke_link(ann, link.share_link_id)).HasField("revoke_time")
    async with somebody(service) as anybody:
        assert await reason(anybody.read(signed)) == "LINK_INVALID"
    assert await media_of(guest) == set()
    assert await reason(get_media(guest, media_id)) == "MEDIA_NOT_FOUND"
    assert await reason(read(guest, media_id, "small")) == "MEDIA_NOT_FOUND"
    assert await reason(open_link(service, secret)) == "SHARE_LINK_NOT_FOUND"
    found = await entries(service, "outcome", "action", "actor_type", "actor")
    shares = [each[1:] for each in found if each[0] == "OK" and "share_links" in each[1]]
    shares.remove(("share_links.open", "link", other_link_id))
    assert shares[:4] == [
        ("share_links.create", "user", "ann"),
        ("share_links.open", "link", link.share_link_id),
        ("share_links.create", "user", "ann"),
        ("share_links.revoke", "user", "bob"),
    ]


async def test_a_link_shares_what_its_creator_may_share(
    service: Running, ann: Caller, bob: Caller
) -> None:
    project = (await create_project(ann)).project_id
    await grant(ann, f"project:{project}", "user:bob", "MANAGER")
    old = (await store_in(ann, project, jpeg())).media_id
    secret = (await share(bob, f"project:{project}", mode="DOWNLOAD")).secret
    guest = await visitor(service, secret)
    assert await media_of(guest) == {old}
    new = (await store_in(ann, project, jpeg())).media_id
    assert await media_of(guest) == await media_of(guest, project_id=project) == {old, new}
    assert await read(guest, new) == jpeg()
    await delete(ann, new)
    assert await media_of(guest, show_deleted=True) == {old}
    assert await reason(get_media(guest, new)) == "MEDIA_NOT_FOUND"
    # It ends with the right of its creator to share, and comes back with it.
    await grant(ann, f"project:{project}", "user:bob", "EDITOR")
    assert await media_of(guest) == set()
    assert await reason(get_media(guest, old)) == "MEDIA_NOT_FOUND"
    assert await reason(open_link(service, secret)) == "SHARE_LINK_NOT_FOUND"
    await grant(ann, f"project:{project}", "user:bob", "MANAGER")
    assert await media_of(guest) == {old}
    await revoke(ann, f"project:{project}", "user:bob")
    assert await media_of(guest) == set()
    # Several media, of which the creator may share one no more.
    mine, given = (await bob.store(jpeg())).media_id, (await ann.store(jpeg())).media_id
    await grant(ann, f"media:{given}", "user:bob", "MANAGER")
    secret = (await share(bob, f"media:{mine}", f"media:{given}")).secret
    both = await visitor(service, secret)
    assert await media_of(both) == {mine, given}
    await revoke(ann, f"media:{given}", "user:bob")
    assert await media_of(both) == {mine}
    assert list((await open_link(service, secret)).targets) == [f"media:{mine}"]


async def test_a_link_of_a_service_account_ends_with_the_account(
    service: Running, ann: Caller
) -> None:
    robot_id = await account(ann)
    robot = await service.bearer((await api_key(ann, robot_id)).key)
    media_id = (await robot.store(jpeg())).media_id
    created = await share(robot, f"media:{media_id}")
    guest = await visitor(service, created.secret)
    assert await media_of(guest) == {media_id}
    assert await listed(ann) == []
    request = credentials_service_pb2.DeleteServiceAccountRequest(service_account_id=robot_id)
    await ann.call(ann.credentials.DeleteServiceAccount, request)
    assert await media_of(guest) == set()
    assert await reason(open_link(service, created.secret)) == "SHARE_LINK_NOT_FOUND"


async def test_the_claim_of_an_administrator_shares_nothing(start: Start) -> None:
    service = await start(admin_claim="roles=admin")
    media_id = (await (await service.caller("ann")).store(jpeg())).media_id
    root = await service.caller("root", roles=["admin"])
    assert (await get_media(root, media_id)).media_id == media_id
    assert await reason(share(root, f"media:{media_id}")) == "RESOURCE_NOT_FOUND"


async def test_a_link_crosses_no_boundary_and_gets_no_grants(service: Running) -> None:
    await make_administrator(service, "root")
    root = await service.caller("root")
    await create_organization(root, "acme")
    eve = await service.caller("eve", org="acme")
    inside = (await eve.store(jpeg())).media_id
    outside = (await root.store(jpeg())).media_id
    both = share(root, f"media:{inside}", f"media:{outside}")
    assert (await refused(both)).fields == ["targets"]
    assert (await refused(share(root, f"media:{inside}", "project:p1"))).fields == ["targets"]
    created = await share(eve, f"media:{inside}")
    guest = await visitor(service, created.secret)
    assert await media_of(guest) == {inside}
    # What everybody has, or all members of the organization, a link has not.
    await grant(root, f"media:{outside}", "everybody", "VIEWER")
    shown = (await eve.store(jpeg())).media_id
    await grant(root, f"media:{shown}", "organization:acme", "VIEWER")
    assert await media_of(guest) == {inside}
    for media_id in (outside, shown):
        assert await reason(get_media(guest, media_id)) == "MEDIA_NOT_FOUND"
    assert await listed(eve) == [created.share_link.share_link_id]


async def test_a_link_ends_when_it_is_used_up_or_expires(service: Running, ann: Caller) -> None:
    media_id = (await ann.store(jpeg())).media_id
    created = await share(ann, f"media:{media_id}", mode="DOWNLOAD", max_uses=5)
    many = [open_link(service, created.secret) for _ in range(50)]
    opened = await asyncio.gather(*many, return_exceptions=True)
    refusals = [refusal(each) for each in opened if isinstance(each, grpc.RpcError)]
    assert Counter(each.reason for each in refusals) == {"SHARE_LINK_USED_UP": 45}
    assert (await get(ann, created.share_link.share_link_id)).uses == 5
    # Reading is no use, and neither is renewing a session.
    (first, *_) = [each for each in opened if not isinstance(each, BaseException)]
    guest = await service.bearer(first.session_token)
    assert [await read(guest, media_id) for _ in range(3)] == [jpeg()] * 3
    again = await open_link(service, created.secret, session_token=first.session_token)
    assert await read(await service.bearer(again.session_token), media_id) == jpeg()
    other = await share(ann, f"media:{media_id}")
    token = (await open_link(service, other.secret)).session_token
    for session_token in (token, "mss_x", ann.token):
        renewal = open_link(service, created.secret, session_token=session_token)
        assert await reason(renewal) in {"SHARE_LINK_NOT_FOUND", "TOKEN_INVALID"}
    forged = await service.bearer(f"{first.session_token}x")
    assert await reason(media_of(forged)) == "TOKEN_INVALID"
    assert (await refused(share(ann, f"media:{media_id}", expire_time=OLDEST))).fields == [
        "expire_time"
    ]
    async with service.database() as db:
        await db.execute("update share_links set expire_time = now()")
    assert await media_of(guest) == set()
    assert await reason(open_link(service, created.secret)) == "SHARE_LINK_EXPIRED"


async def test_a_link_is_changed_and_keeps_its_secret(
    service: Running, ann: Caller, bob: Caller
) -> None:
    media_id = (await ann.store(jpeg())).media_id
    created = await share(ann, f"media:{media_id}", mode="DOWNLOAD", max_uses=1)
    secret, link_id = created.secret, created.share_link.share_link_id
    await open_link(service, secret)
    assert await reason(open_link(service, secret)) == "SHARE_LINK_USED_UP"
    assert (await change(ann, link_id, max_uses=3, display_name="for Bob")).max_uses == 3
    token = (await open_link(service, secret)).session_token
    before = await service.bearer(token)
    signed = await sign(before, media_id)
    assert await reason(change(bob, link_id, max_uses=9)) == "SHARE_LINK_NOT_FOUND"
    assert await reason(change(ann, link_id, "mode")) == "INVALID_UPDATE_MASK"
    assert (await refused(change(ann, link_id, expire_time=OLDEST))).fields == ["expire_time"]
    soon = Timestamp(seconds=int(time.time()) + 3600)
    changed = await change(
        ann, link_id, "password", "expire_time", "max_uses", password=PASSWORD, expire_time=soon
    )
    assert (changed.has_password, changed.max_uses, changed.expire_time) == (True, 0, soon)
    assert changed.display_name == "for Bob"
    # The password ends the sessions that were opened without it, and the URLs that they signed.
    assert await media_of(before) == set()
    assert await reason(get_media(before, media_id)) == "MEDIA_NOT_FOUND"
    assert await reason(open_link(service, secret, session_token=token)) == "TOKEN_INVALID"
    async with somebody(service) as anybody:
        assert await reason(anybody.read(signed)) == "LINK_INVALID"
    assert await reason(open_link(service, secret)) == "SHARE_LINK_PASSWORD_REQUIRED"
    async with service.database() as db:
        await db.execute("update share_links set expire_time = now()")
    assert await reason(open_link(service, secret, password=PASSWORD)) == "SHARE_LINK_EXPIRED"
    open_again = await change(ann, link_id, "password", "expire_time")
    assert (open_again.has_password, open_again.HasField("expire_time")) == (False, False)
    guest = await visitor(service, secret)
    assert await media_of(guest) == {media_id}
    await revoke_link(ann, link_id)
    assert await reason(change(ann, link_id, max_uses=9)) == "SHARE_LINK_NOT_FOUND"


async def test_the_number_of_links_that_have_not_ended_is_limited(
    service: Running, ann: Caller, bob: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links_service, "MAX_ACTIVE", 3)
    target = f"media:{(await ann.store(jpeg())).media_id}"
    many = await asyncio.gather(*(share(ann, target) for _ in range(12)), return_exceptions=True)
    refusals = [refusal(each) for each in many if isinstance(each, grpc.RpcError)]
    assert {(r.reason, r.metadata["limit"]) for r in refusals} == {
        ("CREDENTIAL_LIMIT_EXCEEDED", "3")
    }
    assert len(refusals) == 9
    # Others have links of their own, and one that has ended makes room.
    await share(bob, f"media:{(await bob.store(jpeg())).media_id}")
    (first, second, _) = [each.share_link for each in many if not isinstance(each, BaseException)]
    await revoke_link(ann, first.share_link_id)
    await share(ann, target)
    async with service.database() as db:
        await db.execute(
            "update share_links set expire_time = now() where share_link_id = %s",
            (second.share_link_id,),
        )
    await share(ann, target)
    # An expired one comes back only if there is room.
    again = change(ann, second.share_link_id, "expire_time")
    assert await reason(again) == "CREDENTIAL_LIMIT_EXCEEDED"
    assert (await change(ann, second.share_link_id, display_name="old")).display_name == "old"


@pytest.mark.usefixtures("alone")
async def test_only_a_manager_of_all_targets_changes_a_link(
    service: Running, ann: Caller, bob: Caller
) -> None:
    hidden, given = [(await ann.store(jpeg())).media_id for _ in range(2)]
    await grant(ann, f"media:{given}", "user:bob", "MANAGER")
    targets = [f"media:{hidden}", f"media:{given}"]
    created = await share(ann, *targets, password=PASSWORD, max_uses=1)
    link_id = created.share_link.share_link_id
    assert await reason(change(bob, link_id, "password", "max_uses")) == "ROLE_REQUIRED"
    seen = await get(bob, link_id)
    assert (seen.has_password, list(seen.targets), seen.hidden_targets) == (True, targets[1:], 1)
    request = links.ListShareLinksRequest(target=targets[1])
    (seen,) = (await bob.call(bob.share_links.ListShareLinks, request)).share_links
    assert (list(seen.targets), seen.hidden_targets) == (targets[1:], 1)
    for whole in (await get(ann, link_id), created.share_link):
        assert (list(whole.targets), whole.hidden_targets) == (targets, 0)
    await grant(ann, targets[0], "user:bob", "VIEWER")
    seen = await get(bob, link_id)
    assert (list(seen.targets), seen.hidden_targets) == (targets, 0)
    assert await reason(change(bob, link_id, max_uses=9)) == "ROLE_REQUIRED"
    assert await reason(open_link(service, created.secret)) == "SHARE_LINK_PASSWORD_REQUIRED"
    await grant(ann, targets[0], "user:bob", "MANAGER")
    changed = await change(bob, link_id, "password", "max_uses", max_uses=2)
    assert (changed.has_password, changed.max_uses) == (False, 2)
    # A target that was purged is managed by nobody.
    async with service.database() as db:
        await db.execute("update share_links set targets[1] = 'media:' || gen_random_uuid()")
    assert await reason(change(bob, link_id, max_uses=3)) == "ROLE_REQUIRED"
    assert (await change(ann, link_id, "max_uses", "password", password=PASSWORD)).max_uses == 0
    revoked = await revoke_link(bob, link_id)
    assert (revoked.HasField("revoke_time"), revoked.hidden_targets) == (True, 1)
    found = await entries(service, "action", "details", "outcome")
    wanted = '{"fields":"max_uses,password"}'
    made = [each for each in found if each[0] == "share_links.update" and each[2] == "OK"]
    assert [each[1] for each in made] == [wanted, wanted]


async def test_passwords_are_hashed_in_fair_turns_for_those_who_may(
    service: Running, ann: Caller, bob: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = [f"media:{(await each.store(jpeg())).media_id}" for each in (ann, bob)]
    created = await share(bob, other, password=PASSWORD)
    hashed: list[str] = []
    go_on, hash_of, matches = threading.Event(), passwords.hash_of, passwords.matches

    def slow_hash(password: str) -> str:
        hashed.append(password)
        assert go_on.wait(20)
        return hash_of(password)

    def slow_check(password: str, hash_: str) -> bool:
        hashed.append("visitor")
        return matches(password, hash_)

    monkeypatch.setattr(passwords, "hash_of", slow_hash)
    monkeypatch.setattr(passwords, "matches", slow_check)
    turns: list[Turn] = []
    add = FairTurns.add

    def counted(self: FairTurns, turn: Turn) -> None:
        turns.append(turn)
        add(self, turn)

    async def queued(number: int) -> bool:
        return len(turns) >= number

    monkeypatch.setattr(FairTurns, "add", counted)
    go_on.set()
    link_id, unknown = created.share_link.share_link_id, str(uuid4())
    for stranger in (
        change(ann, link_id, password=PASSWORD),
        change(ann, unknown, password="x" * 8),
    ):
        assert await reason(stranger) == "SHARE_LINK_NOT_FOUND"
    assert await reason(share(ann, other, password=PASSWORD)) == "RESOURCE_NOT_FOUND"
    assert hashed == []
    go_on.clear()
    # A visitor does not wait for all hashes of another caller.
    many = [asyncio.create_task(share(ann, mine, password=f"password {i}")) for i in range(8)]
    await eventually_async(partial(queued, 8))
    visit = asyncio.create_task(open_link(service, created.secret, password=PASSWORD))
    await eventually_async(partial(queued, 9))
    go_on.set()
    await asyncio.gather(*many, visit)
    assert (len(hashed), hashed.index("visitor") < 4) == (9, True)
    # A wait ends, and a password that was not checked does not count as a wrong one.
    go_on.clear()
    monkeypatch.setattr(passwords, "MAX_SECONDS", 0.1)
    many = [asyncio.create_task(share(ann, mine, password=f"password {i}")) for i in range(2)]
    await eventually_async(partial(queued, 11))
    assert await reason(open_link(service, created.secret, password="wrong")) == "SERVER_BUSY"
    go_on.set()
    await asyncio.gather(*many)
    async with service.database() as db:
        attempts = await (await db.execute("select count(*) from share_link_attempts")).fetchone()
    assert attempts == (0,)


@pytest.mark.usefixtures("alone")
async def test_wrong_passwords_are_counted_for_their_network(
    service: Running, ann: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "MAX_OF_NETWORK", 3)
    monkeypatch.setattr(opening, "MAX_OF_ALL", 5)
    created = await share(
        ann, f"media:{(await ann.store(jpeg())).media_id}", password=PASSWORD, max_uses=2
    )
    assert created.share_link.has_password
    secret, link_id = created.secret, created.share_link.share_link_id
    assert await reason(open_link(service, secret)) == "SHARE_LINK_PASSWORD_REQUIRED"
    wrong = [reason(open_link(service, secret, password="wrong")) for _ in range(8)]
    answers = Counter(await asyncio.gather(*wrong))
    assert answers == {"SHARE_LINK_PASSWORD_WRONG": 3, "RATE_LIMITED": 5}
    limited = await refused(open_link(service, secret, password=PASSWORD))
    assert (limited.reason, limited.metadata["limit"]) == ("RATE_LIMITED", "share_link")
    async with service.database() as db:
        await db.execute("update share_link_attempts set network = 'another'")
    # Another network is not locked out, and right passwords do not count.
    await open_link(service, secret, password=PASSWORD)
    for _ in range(2):
        assert await reason(open_link(service, secret, password="wrong")) == (
            "SHARE_LINK_PASSWORD_WRONG"
        )
    assert await reason(open_link(service, secret, password=PASSWORD)) == "RATE_LIMITED"
    async with service.database() as db:
        await db.execute("update share_link_attempts set create_time = now() - interval '1 hour'")
    await open_link(service, secret, password=PASSWORD)
    assert await reason(open_link(service, secret, password=PASSWORD)) == "SHARE_LINK_USED_UP"

    async def recorded() -> bool:
        found = await entries(service, "category", "actor", "outcome")
        return ("DENIAL", link_id, "SHARE_LINK_PASSWORD_WRONG") in found

    await eventually_async(recorded)


async def test_a_link_to_a_collection_shows_what_is_shared_there_now(
    service: Running, ann: Caller, bob: Caller
) -> None:
    ids = [(await ann.store(jpeg(), f"{number}.jpg")).media_id for number in range(3)]
    seen_only = (await bob.store(jpeg())).media_id
    await grant(bob, f"media:{seen_only}", "user:ann", "VIEWER")
    outer = (await collections.create(ann, "Party")).collection_id
    inner = (await collections.create(ann, "Dance", parent_id=outer)).collection_id
    other = (await collections.create(ann, "Private", description="no")).collection_id
    await collections.update(ann, [], collection_id=inner, cover_media_id=ids[1])
    await collections.add(ann, outer, [seen_only, ids[2], ids[0]])
    await collections.add(ann, inner, [ids[1]])
    target = f"collection:{outer}"
    assert await reason(share(bob, target)) == "RESOURCE_NOT_FOUND"
    smart = (await collections.create(ann, "Stars", filter="rating=5")).collection_id
    for wrong in ([f"collection:{smart}"], [target, f"collection:{inner}"]):
        assert await reason(share(ann, *wrong)) == "INVALID_FIELD"
    assert await reason(share(ann, target, mode="UPLOAD")) == "INVALID_FIELD"
    made = await share(ann, target, mode="DOWNLOAD")
    assert await listed(ann, target) == [made.share_link.share_link_id]
    guest = await visitor(service, made.secret)

    assert await collections.media(guest, outer) == [ids[2], ids[0]]
    assert await collections.listed(guest) == ["Dance", "Party"]
    assert await collections.listed(guest, parent_id=outer) == ["Dance"]
    shown = await collections.get(guest, inner)
    assert (shown.parent_id, shown.cover_media_id, shown.owner.id) == (outer, ids[1], "")
    assert await read(guest, ids[1]) == jpeg()
    for call in (get_media(guest, seen_only), read(guest, seen_only)):
        assert await reason(call) == "MEDIA_NOT_FOUND"
    for hidden in (other, smart):
        assert await reason(collections.get(guest, hidden)) == "COLLECTION_NOT_FOUND"
        assert await reason(collections.media(guest, hidden)) == "COLLECTION_NOT_FOUND"
    assert await reason(collections.add(guest, outer, ids)) == "SHARE_LINK_METHOD_NOT_ALLOWED"
    request = collection_service_pb2.ListCollectionMediaRequest(
        collection_id=outer, sign_read_urls=True
    )
    page = await guest.call(guest.collections.ListCollectionMedia, request)
    async with somebody(service) as anybody:
        assert (await anybody.read(token_of(page.media[0].read_url))).content == jpeg()

    inside = await collections.create(ann, "Mine", parent_id=outer, filter='owner="user:ann"')
    assert await collections.media(guest, inside.collection_id) == []
    assert (await collections.get(guest, inside.collection_id)).filter == ""

    await collections.take_out(ann, outer, [ids[0]])
    assert await reason(read(guest, ids[0])) == "MEDIA_NOT_FOUND"
    await collections.update(ann, ["parent_id"], collection_id=inner)
    assert await reason(read(guest, ids[1])) == "MEDIA_NOT_FOUND"
    await collections.add(ann, outer, [ids[0]])
    await delete(ann, ids[2])
    assert await collections.media(guest, outer) == [ids[0]]
    await revoke_link(ann, made.share_link.share_link_id)
    assert await reason(collections.media(guest, outer)) == "COLLECTION_NOT_FOUND"
    assert await reason(read(guest, ids[0])) == "MEDIA_NOT_FOUND"


async def test_a_link_to_a_project_shares_no_collections(service: Running, ann: Caller) -> None:
    project = (await create_project(ann)).project_id
    album = (await collections.create(ann, "Internal", project_id=project)).collection_id
    await collections.add(ann, album, [(await ann.store(jpeg())).media_id])
    guest = await visitor(service, (await share(ann, f"project:{project}")).secret)
    assert await collections.listed(guest) == []
    assert await reason(collections.media(guest, album)) == "COLLECTION_NOT_FOUND"
