"""Links that read without a token: what they open, and that they reveal nothing else."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import jwt
import pytest
from mediaservice.v1 import (
    download_service_pb2,
    media_pb2,
    media_service_pb2,
)

from media_service.access.link_signer import LinkSigner, key_from
from media_service.access.principal import Principal
from media_service.clock import now
from media_service.config import ConfigError
from media_service.ids import new_id
from tests.support.media.small_files import jpeg
from tests.support.renditions import give
from tests.support.rpc.links import Answer, Anybody, link, signed, somebody, token_of
from tests.support.rpc.server import SECRET, Caller, Running, Start, refused
from tests.support.rpc.server import token as access_token
from tests.support.rpc.sharing import grant, make_administrator

DATA = jpeg()
HOUR = timedelta(hours=1)
OURS = LinkSigner([key_from(SECRET)])
OLD, NEW = "an old key of at least thirty-two bytes", "a new key of at least thirty-two bytes"


@pytest.fixture
async def anybody(service: Running) -> AsyncIterator[Anybody]:
    async with somebody(service) as anybody:
        yield anybody


async def delete(caller: Caller, media_id: str) -> None:
    request = media_service_pb2.DeleteMediaRequest(media_id=media_id)
    await caller.call(caller.media.DeleteMedia, request)


def claims(media_id: str, **others: Any) -> dict[str, Any]:
    """The claims of a link."""
    return {"media": media_id, "rendition": "", "attachment": False, **others}


async def test_a_link_reads_without_a_token(ann: Caller, anybody: Anybody) -> None:
    media = await ann.store(DATA, "sea side.jpg")
    url = (await signed(ann, media.media_id)).url
    assert url.startswith("http://localhost:8080/v1/signed/")
    assert url.endswith("/sea%20side.jpg")
    answer = await anybody.read(token_of(url))
    assert answer.content == DATA
    assert answer.headers["content-disposition"] == 'inline; filename="sea side.jpg"'
    part = await anybody.read(token_of(url), ("range", "bytes=10-19"))
    assert (part.content, part.headers["x-http-status"]) == (DATA[10:20], "206")


async def test_a_link_can_request_an_attachment(ann: Caller, anybody: Anybody) -> None:
    media = await ann.store(DATA)
    answer = await anybody.read(await link(ann, media.media_id, attachment=True))
    assert answer.headers["content-disposition"] == 'attachment; filename="a.jpg"'


@pytest.mark.parametrize(
    ("wanted", "ttl"),
    [
        (None, timedelta(minutes=15)),
        (timedelta(seconds=1), timedelta(seconds=1)),
        (timedelta(milliseconds=1500), timedelta(milliseconds=1500)),
        (timedelta(days=7), timedelta(days=7)),
    ],
)
async def test_a_link_is_valid_for_the_requested_lifetime(
    ann: Caller, wanted: timedelta | None, ttl: timedelta
) -> None:
    media = await ann.store(DATA)
    before = now()
    response = await signed(ann, media.media_id, wanted)
    expire = response.expire_time.ToDatetime(UTC)
    assert before + ttl <= expire <= now() + ttl + timedelta(seconds=1)
    in_token = OURS.open("read", token_of(response.url))["exp"]
    assert datetime.fromtimestamp(in_token, UTC) == expire


@pytest.mark.parametrize("seconds", [-1, 0, 604801])
async def test_a_lifetime_out_of_bounds_is_refused(ann: Caller, seconds: int) -> None:
    refusal = await refused(signed(ann, new_id(), timedelta(seconds=seconds)))
    assert (refusal.reason, refusal.fields) == ("INVALID_FIELD", ["ttl"])


async def test_a_response_is_cacheable_for_five_minutes_but_not_past_its_link(
    ann: Caller, anybody: Anybody
) -> None:
    media = await ann.store(DATA)
    long = await anybody.read(await link(ann, media.media_id))
    assert long.headers["cache-control"] == "private, max-age=300"
    assert "vary" not in long.headers
    short = await anybody.read(await link(ann, media.media_id, ttl=timedelta(seconds=60)))
    left = int(short.headers["cache-control"].removeprefix("private, max-age="))
    assert 30 < left <= 61


async def test_only_the_owner_signs_links(ann: Caller, bob: Caller) -> None:
    media = await ann.store(DATA)
    refusal = await refused(signed(bob, media.media_id))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "MEDIA_NOT_FOUND")
    reader = Caller(ann.address, ann.channel, access_token("ann", scope="uploads.write"))
    assert (await refused(signed(reader, media.media_id))).reason == "SCOPE_MISSING"


async def test_an_unreadable_media_gets_no_link(ann: Caller, service: Running) -> None:
    media = await ann.store(DATA)
    assert (await refused(signed(ann, media.media_id, rendition="tiny"))).reason == (
        "RENDITION_NOT_FOUND"
    )
    await delete(ann, media.media_id)
    assert (await refused(signed(ann, media.media_id))).reason == "MEDIA_DELETED"
    held = await ann.store(DATA)
    async with service.database() as db:
        await db.execute("update media set state = 'QUARANTINED'")
    assert (await refused(signed(ann, held.media_id))).reason == "MEDIA_QUARANTINED"


async def test_an_invalid_link_does_not_reveal_why(
    ann: Caller, anybody: Anybody, service: Running
) -> None:
    media = await ann.store(DATA)
    good = await link(ann, media.media_id)
    good_claims, later, by = claims(media.media_id), now() + HOUR, Principal("ann")
    bad = {
        "made up": "made.up.token",
        "none": "x",
        "not ascii": "é.é.é",
        "padded": good + "=",
        "too much": f"{good}.{good}",
        "of other keys": LinkSigner([NEW]).sign("read", good_claims, later, by),
        "expired": OURS.sign("read", good_claims, now() - timedelta(seconds=1), by),
        "for writing": OURS.sign("write", good_claims, later, by),
        "for all": OURS.sign("", good_claims, later, by),
        "of nobody": OURS.sign("read", good_claims, later),
        "of a stranger": OURS.sign("read", good_claims, later, Principal("bob")),
        "never there": OURS.sign("read", claims(new_id()), later, by),
        "rendition gone": OURS.sign("read", claims(media.media_id, rendition="x"), later, by),
        "with an outdated pipeline": OURS.sign(
            "read", claims(media.media_id, ops="compress:max_bytes=500"), later, by
        ),
        "an access token": ann.token,
        "unsigned": jwt.encode(
            {**claims(media.media_id), "aud": "read", "exp": now() + HOUR}, "", algorithm="none"
        ),
    }
    refusals = {name: await refused(anybody.read(token)) for name, token in bad.items()}
    assert (await anybody.read(good)).content == DATA
    async with service.database() as db:
        await db.execute("update media set state = 'QUARANTINED'")
        refusals["quarantined"] = await refused(anybody.read(good))
        await db.execute("update media set state = 'READY'")
    assert (await anybody.read(good)).content == DATA
    await delete(ann, media.media_id)
    refusals["deleted"] = await refused(anybody.read(good))
    request = media_service_pb2.PurgeMediaRequest(media_id=media.media_id)
    await ann.call(ann.media.PurgeMedia, request)
    refusals["purged"] = await refused(anybody.read(good))
    first = refusals["made up"]
    assert (first.code, first.reason) == (grpc.StatusCode.PERMISSION_DENIED, "LINK_INVALID")
    assert (first.metadata, first.headers["x-http-status"]) == ({}, "403")
    # Message, details, and headers are the same.
    assert [name for name in refusals if refusals[name] != first] == []


async def test_a_link_changed_at_any_position_is_refused(ann: Caller, anybody: Anybody) -> None:
    media = await ann.store(DATA)
    token = await link(ann, media.media_id)
    first = await refused(anybody.read("made.up.token"))
    for at, letter in enumerate(token):
        changed = token[:at] + ("A" if letter != "A" else "B") + token[at + 1 :]
        assert await refused(anybody.read(changed)) == first
    assert (await anybody.read(token)).content == DATA


async def test_links_of_a_media_work_again_after_undelete(ann: Caller, anybody: Anybody) -> None:
    media = await ann.store(DATA)
    token = await link(ann, media.media_id)
    await delete(ann, media.media_id)
    await refused(anybody.read(token))
    request = media_service_pb2.UndeleteMediaRequest(media_id=media.media_id)
    await ann.call(ann.media.UndeleteMedia, request)
    assert (await anybody.read(token)).content == DATA


async def test_a_link_token_is_not_an_access_token(ann: Caller, service: Running) -> None:
    media = await ann.store(DATA)
    forged = OURS.sign("read", claims(media.media_id, sub="ann"), now() + HOUR)
    for token in (await link(ann, media.media_id), forged):
        holder = Caller(service.address, ann.channel, token)
        refusal = await refused(holder.content(media.media_id))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")


async def test_an_older_key_verifies_links_until_it_is_removed(start: Start) -> None:
    before = await start(link_keys=OLD)
    ann = await before.caller("ann")
    media = await ann.store(DATA)
    token = await link(ann, media.media_id)
    rotated = await start(link_keys=f"{NEW}, {OLD}")
    async with somebody(rotated) as anybody:
        assert (await anybody.read(token)).content == DATA
    renewed = await link(await rotated.caller("ann"), media.media_id)
    after = await start(link_keys=NEW)
    async with somebody(after) as anybody:
        assert (await refused(anybody.read(token))).reason == "LINK_INVALID"
        assert (await anybody.read(renewed)).content == DATA


async def test_a_server_without_a_signing_key_does_not_start(start: Start) -> None:
    with pytest.raises(ConfigError, match="MEDIA_LINK_KEYS"):
        await start(jwt_secret="", jwt_jwks="https://keys.example/jwks.json")
    await start(jwt_secret="", jwt_jwks="https://keys.example/jwks.json", link_keys=NEW)


async def test_a_media_has_signed_urls_when_requested(
    ann: Caller, anybody: Anybody, service: Running
) -> None:
    stored = await ann.store(DATA)

    async def get(**how: Any) -> media_pb2.Media:
        request = media_service_pb2.GetMediaRequest(media_id=stored.media_id, **how)
        return await ann.call(ann.media.GetMedia, request)

    assert await get() == stored
    await give(service.environ, stored.media_id, "small", b"small")
    media = await get(sign_read_urls=True)
    assert (await anybody.read(token_of(media.read_url))).content == DATA
    (small,) = media.renditions
    assert (await anybody.read(token_of(small.read_url))).content == b"small"
    request = media_service_pb2.ListMediaRequest(sign_read_urls=True)
    (listed,) = (await ann.call(ann.media.ListMedia, request)).media
    assert (await anybody.read(token_of(listed.read_url))).content == DATA
    assert (await anybody.read(token_of(listed.renditions[0].read_url))).content == b"small"
    left = media.read_url_expire_time.ToDatetime(UTC) - now()
    assert timedelta(minutes=14) < left <= timedelta(minutes=15, seconds=1)
    await delete(ann, stored.media_id)
    deleted = await get(sign_read_urls=True)
    assert not deleted.read_url
    assert not deleted.HasField("read_url_expire_time")


async def test_a_link_can_name_a_version(ann: Caller, anybody: Anybody, service: Running) -> None:
    media = await ann.store(DATA)
    token = await link(ann, media.media_id, version=1)
    assert (await anybody.read(token)).content == DATA
    targets: list[dict[str, Any]] = [
        {},
        {"rendition": "small"},
        {"rendition": "stream"},
        {"ops": "blur:2"},
    ]
    for target in targets:
        refusal = await refused(signed(ann, media.media_id, version=2, **target))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "VERSION_NOT_FOUND")
    async with service.database() as db:
        await db.execute("update media_versions set version = 2")
        await db.execute("update media set version = 2")
    assert (await refused(anybody.read(token))).reason == "LINK_INVALID"


async def test_links_are_audited_and_never_logged(
    ann: Caller, anybody: Anybody, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    media = await ann.store(DATA)
    token = await link(ann, media.media_id)
    await anybody.read(token)
    await refused(anybody.read(token + "x"))
    refusal = await refused(anybody.read(token * 20))
    assert (refusal.reason, refusal.fields) == ("INVALID_FIELD", ["token"])
    assert token not in refusal.message
    assert f"action=media.sign user='ann' org='' subject={media.media_id} outcome=OK" in caplog.text
    assert not any(piece in caplog.text for piece in token.split(".")[1:])


async def test_content_of_a_store_without_urls_is_served_by_the_service(
    ann: Caller, anybody: Anybody
) -> None:
    media = await ann.store(DATA)
    assert (await anybody.read(await link(ann, media.media_id, direct=True))).content == DATA


async def revoke_urls(caller: Caller, **which: str) -> None:
    request = download_service_pb2.RevokeSignedUrlsRequest(**which)
    await caller.call(caller.downloads.RevokeSignedUrls, request)


async def test_links_of_a_media_or_of_a_signer_can_be_revoked(
    service: Running, ann: Caller, bob: Caller, anybody: Anybody
) -> None:
    first, second = [(await ann.store(DATA)).media_id for _ in range(2)]
    for media_id in (first, second):
        await grant(ann, f"media:{media_id}", "user:bob", "VIEWER")
    request = media_service_pb2.ListMediaRequest(sign_read_urls=True)

    async def links_of(caller: Caller) -> dict[str, str]:
        """By media, alternately from a list and by themselves."""
        listed = (await caller.call(caller.media.ListMedia, request)).media
        found = {media.media_id: token_of(media.read_url) for media in listed}
        return {**found, first: await link(caller, first)}

    async def working(tokens: dict[str, str]) -> set[str]:
        read = {media_id: anybody.read(token) for media_id, token in tokens.items()}
        found = await asyncio.gather(*read.values(), return_exceptions=True)
        return {name for name, each in zip(read, found, strict=True) if isinstance(each, Answer)}

    of_ann, of_bob = await links_of(ann), await links_of(bob)
    before = OURS.sign("read", claims(second), now() + HOUR, Principal("ann"))
    refusal = await refused(revoke_urls(bob, media_id=first))
    assert refusal.reason == "ROLE_REQUIRED"
    await revoke_urls(ann, media_id=first)
    assert await working(of_ann) == await working(of_bob) == {second}
    await revoke_urls(bob, signer="me")
    assert await working(of_bob) == set()
    assert await working(of_ann) == {second}
    assert (
        await working(await links_of(bob)) == await working(await links_of(ann)) == {first, second}
    )
    assert (await refused(revoke_urls(bob, signer="user:ann"))).reason == "ROLE_REQUIRED"
    await make_administrator(service, "bob")
    await revoke_urls(bob, signer="user:ann")
    assert await working(of_ann) == set()
    # A link that was signed before there were keys names none.
    assert await working({second: before}) == {second}
    assert (await refused(revoke_urls(ann))).reason == "INVALID_FIELD"
