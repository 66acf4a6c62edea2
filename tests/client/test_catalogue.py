"""Unary calls, which are retried after transient failures."""

from datetime import timedelta

import pytest
from mediaservice.v1 import media_pb2, upload_pb2

from media_service.ids import new_id
from media_service_client import AsyncClient, Client, MediaServiceError
from tests.support.fake_server import Fake, Fault


@pytest.fixture
def media_id(fake: Fake) -> str:
    media_id = new_id()
    fake.store(b"data", media_id, "a.png")
    return media_id


async def test_a_media_is_read_updated_deleted_and_undeleted(
    client: AsyncClient, fake: Fake, media_id: str
) -> None:
    for method in ("GetMedia", "UpdateMedia", "DeleteMedia", "UndeleteMedia"):
        fake.inject(method, Fault("UNAVAILABLE"))
    assert (await client.get(media_id)).filename == "a.png"
    changed = await client.update(media_pb2.Media(media_id=media_id, title="A"), ["title"])
    assert changed.title == "A"
    assert (await client.delete(media_id)).HasField("delete_time")
    assert not (await client.undelete(media_id)).HasField("delete_time")


async def test_a_url_is_signed_as_requested(client: AsyncClient, fake: Fake, media_id: str) -> None:
    fake.inject("SignUrl", Fault("UNAVAILABLE"))
    signed = await client.sign_url(media_id)
    assert signed.url == "https://media.example//a.png?seconds=900&attachment=False&direct=False"
    assert signed.expire_time.ToSeconds() == 900
    signed = await client.sign_url(
        media_id, rendition="small", ttl=timedelta(hours=1), attachment=True, direct=True
    )
    assert (
        signed.url == "https://media.example/small/a.png?seconds=3600&attachment=True&direct=True"
    )


async def test_a_list_iterates_over_all_pages(client: AsyncClient, fake: Fake) -> None:
    ids = [new_id() for _ in range(5)]
    for media_id in ids:
        fake.store(b"data", media_id)
    fake.inject("ListMedia", Fault("UNAVAILABLE"))
    assert [media.media_id async for media in client.list()] == ids


async def test_a_purge_succeeds_when_its_response_is_lost(
    client: AsyncClient, fake: Fake, media_id: str
) -> None:
    fake.inject("PurgeMedia", Fault("UNAVAILABLE", at_finish=True))
    await client.purge(media_id)
    assert not fake.stored
    with pytest.raises(MediaServiceError) as caught:
        await client.purge(media_id)
    assert caught.value.reason == "MEDIA_NOT_FOUND"


@pytest.mark.parametrize("lost", [False, True])
async def test_deleting_a_rendition_succeeds_when_its_response_is_lost(
    client: AsyncClient, fake: Fake, media_id: str, lost: bool
) -> None:
    for name in ("mine", "small"):
        fake.stored[media_id][0].renditions.add(name=name)
    if lost:
        fake.inject("DeleteRendition", Fault("UNAVAILABLE", at_finish=True))
    left = await client.delete_rendition(media_id, "mine")
    assert [rendition.name for rendition in left.renditions] == ["small"]
    with pytest.raises(MediaServiceError) as caught:
        await client.delete_rendition(media_id, "mine")
    assert caught.value.reason == "RENDITION_NOT_FOUND"


async def test_a_watch_survives_a_disconnect_and_ends_with_the_upload(
    client: AsyncClient, fake: Fake
) -> None:
    fake.inject("WriteUpload", Fault("SUPERSEDED", after=100))
    with pytest.raises(MediaServiceError):
        await client.upload(b"x" * 200)
    (upload_id,) = fake.sessions
    fake.inject("WatchUpload", Fault("UNAVAILABLE"))
    states = [upload.state async for upload in client.watch_upload(upload_id)]
    assert states == [upload_pb2.Upload.ACTIVE] * 2 + [upload_pb2.Upload.FINISHED]


async def test_a_missing_token_is_reported_at_once(fake: Fake, address: str) -> None:
    with Client(address) as client, pytest.raises(MediaServiceError) as caught:
        client.get(new_id())
    assert caught.value.reason == "TOKEN_MISSING"
    async with AsyncClient(address) as client:
        with pytest.raises(MediaServiceError) as caught:
            await client.get(new_id())
    assert caught.value.reason == "TOKEN_MISSING"
    assert fake.calls == ["GetMedia", "GetMedia"]
