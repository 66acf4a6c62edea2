"""Renditions read through a cache are those that PostgreSQL has, and no permission is cached."""

import asyncio
import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import psycopg
import pytest
from mediaservice.v1 import media_pb2, media_service_pb2
from redis.asyncio import Redis

from media_service.cache import redis as cache
from media_service.cache.keys import renditions_key
from media_service.cache.redis import NAMESPACE, RedisCache
from media_service.cache.sink import CacheSink
from media_service.events.conformance import events
from media_service.events.sink import SinkUnavailable
from media_service.ids import new_id
from tests.support.long_form import examples
from tests.support.media.small_files import jpeg
from tests.support.rpc.server import Caller, Start, refused
from tests.support.rpc.sharing import grant, revoke
from tests.support.stores.valkey_server import ValkeyServer
from tests.support.tools import eventually_async

Sizes: TypeAlias = Mapping[str, int]
NAMES = [f"size-{number}" for number in range(6)]
CHANGES, READERS = 25, 4


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ValkeyServer]:
    monkeypatch.setattr(cache, "PAUSE_SECONDS", 0.05)
    with ValkeyServer() as running:
        yield running


async def get(caller: Caller, media_id: str) -> media_pb2.Media:
    request = media_service_pb2.GetMediaRequest(media_id=media_id)
    media: media_pb2.Media = await caller.call(caller.media.GetMedia, request)
    return media


async def listed(caller: Caller) -> media_pb2.Media:
    """The only media of a caller."""
    answer: Any = await caller.call(caller.media.ListMedia, media_service_pb2.ListMediaRequest())
    (media,) = answer.media
    return media  # type: ignore[no-any-return]


def sizes(media: media_pb2.Media) -> Sizes:
    return {rendition.name: rendition.width for rendition in media.renditions}


async def change(db: psycopg.AsyncConnection, media_id: str, after: Sizes, gone: set[str]) -> str:
    """Gives renditions a new blob and width, and removes others. Returns the new etag."""
    async with db.transaction():
        await db.execute("select from media where media_id = %s for update", (media_id,))
        await db.execute(
            "delete from renditions where media_id = %s and name = any(%s)", (media_id, list(gone))
        )
        for name, width in after.items():
            blob_id = new_id()
            await db.execute(
                "insert into blobs (blob_id, store, key, size_bytes, crc32c, reference_count)"
                " values (%s, 'raw', %s, %s, 0, 1)",
                (blob_id, f"blobs/{blob_id}", width),
            )
            await db.execute(
                "insert into renditions (media_id, name, blob_id, content_type, version, width,"
                " height) values (%s, %s, %s, 'image/webp', 1, %s, 1)"
                " on conflict (media_id, name) do update"
                " set blob_id = excluded.blob_id, width = excluded.width",
                (media_id, name, blob_id, width),
            )
        rows = await db.execute(
            "update media set revision = revision + 1 where media_id = %s returning revision",
            (media_id,),
        )
        (revision,) = await rows.fetchone() or (0,)
    return f'"{revision}"'


@pytest.mark.parametrize("seed", range(examples(2, 200)))
async def test_an_etag_has_the_same_renditions_while_they_change(
    start: Start, server: ValkeyServer, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - not for secrets
    service = await start(cache_redis=server.url)
    ann = await service.caller("ann")
    media_id = (await ann.store(jpeg())).media_id
    expected = {(await get(ann, media_id)).etag: dict[str, int]()}
    seen: list[tuple[str, Sizes]] = []
    changing = True

    async def read() -> None:
        while changing:
            media = await (get(ann, media_id) if rng.random() < 0.7 else listed(ann))
            seen.append((media.etag, sizes(media)))

    async with service.database() as db, asyncio.TaskGroup() as group:
        for _ in range(READERS):
            group.create_task(read())
        now: dict[str, int] = {}
        for width in range(1, CHANGES):
            after = dict.fromkeys(rng.sample(NAMES, rng.randint(0, 3)), width)
            gone = set(rng.sample(NAMES, 1)) - set(after)
            now = {name: size for name, size in (now | after).items() if name not in gone}
            expected[await change(db, media_id, after, gone)] = dict(now)
            await asyncio.sleep(rng.choice([0, 0, 0.01]))
        changing = False
    assert [(etag, expected[etag]) for etag, _ in seen] == seen
    media = await get(ann, media_id)
    assert sizes(media) == now == sizes(await get(ann, media_id))
    async with Redis.from_url(server.url) as redis:
        assert (await redis.info("stats"))["keyspace_hits"] > 0


async def test_a_value_of_the_same_renditions_is_used_and_of_others_is_not(
    start: Start, server: ValkeyServer
) -> None:
    service = await start(cache_redis=server.url)
    ann = await service.caller("ann")
    media_id = (await ann.store(jpeg())).media_id
    async with service.database() as db, Redis.from_url(server.url) as redis:
        await change(db, media_id, {"small": 10}, set())
        await get(ann, media_id)
        key = NAMESPACE + renditions_key(media_id)
        kept = await redis.get(key)
        assert kept
        assert 0 < await redis.ttl(key) <= cache.TTL_SECONDS
        await redis.set(key, kept.replace(b'"small"', b'"other"'))
        assert sizes(await get(ann, media_id)) == {"other": 10} == sizes(await listed(ann))
        # A move to another store shows in no etag.
        await db.execute("update renditions set width = 11 where media_id = %s", (media_id,))
        assert sizes(await get(ann, media_id)) == {"small": 11} == sizes(await listed(ann))
        for nonsense in (b"", b"x", b"\xff\xfe", b'1 {"a": 1}', kept[:-5]):
            await redis.set(key, nonsense)
            assert sizes(await get(ann, media_id)) == {"small": 11}


async def test_a_revocation_takes_effect_at_once(start: Start, server: ValkeyServer) -> None:
    service = await start(cache_redis=server.url)
    ann, bob = await service.caller("ann"), await service.caller("bob")
    media_id = (await ann.store(jpeg())).media_id
    await grant(ann, f"media:{media_id}", "user:bob")
    assert (await get(bob, media_id)).media_id == media_id
    await revoke(ann, f"media:{media_id}", "user:bob")
    assert (await refused(get(bob, media_id))).reason == "MEDIA_NOT_FOUND"


async def test_reads_go_to_postgresql_while_the_cache_is_away(
    start: Start, server: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    service = await start(cache_redis=server.url)
    ann = await service.caller("ann")
    media_id = (await ann.store(jpeg())).media_id
    async with service.database() as db:
        await change(db, media_id, {"small": 10}, set())
        await get(ann, media_id)
        server.freeze()
        assert sizes(await get(ann, media_id)) == {"small": 10}
        server.stop()
        await change(db, media_id, {"small": 11}, set())
        assert sizes(await get(ann, media_id)) == {"small": 11} == sizes(await listed(ann))
        assert "MEDIA_CACHE_REDIS does not answer" in caplog.text
        server.start()

        async def kept() -> bool:
            await get(ann, media_id)
            async with Redis.from_url(server.url) as redis:
                return bool(await redis.exists(NAMESPACE + renditions_key(media_id)))

        await eventually_async(kept)


async def test_events_remove_what_has_changed(start: Start, server: ValkeyServer) -> None:
    service = await start(work=True, cache_redis=server.url)
    ann = await service.caller("ann")
    media_id = (await ann.store(jpeg())).media_id
    key = NAMESPACE + renditions_key(media_id)

    async def ready() -> bool:
        return (await get(ann, media_id)).state == media_pb2.Media.READY

    await eventually_async(ready)
    async with Redis.from_url(server.url) as redis:

        async def kept() -> bool:
            await get(ann, media_id)
            return bool(await redis.exists(key))

        async def removed() -> bool:
            return not await redis.exists(key)

        await eventually_async(kept)
        delete = media_service_pb2.DeleteMediaRequest(media_id=media_id)
        await ann.call(ann.media.DeleteMedia, delete)
        await eventually_async(removed)


async def test_a_sink_says_that_the_cache_is_away(server: ValkeyServer) -> None:
    sink = CacheSink(RedisCache(server.url))
    (event, *_) = events(1)
    deleted = replace(event, type="media.deleted")
    await sink.publish([event, deleted])
    server.stop()
    await sink.publish([event])
    with pytest.raises(SinkUnavailable, match="MEDIA_CACHE_REDIS"):
        await sink.publish([deleted])
    await sink.close()
