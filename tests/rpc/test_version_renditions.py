"""What is rendered from a version: it follows the current one, and stays with those before."""

import io
import re
from collections.abc import Mapping

from mediaservice.v1 import download_service_pb2, media_pb2
from PIL import ExifTags, Image

from tests.support.media.numbered_frames import counted
from tests.support.media.private_files import SECRET, private_jpeg
from tests.support.media.small_files import jpeg, png
from tests.support.rpc.catalogue import get, until_done, update
from tests.support.rpc.jobs import ended, process
from tests.support.rpc.playlists import playlists, read, text
from tests.support.rpc.policies import set_policy
from tests.support.rpc.quotas import set_quota, usage
from tests.support.rpc.server import Caller, Running, Start, refused
from tests.support.rpc.sharing import create_project, grant, make_administrator, store_in
from tests.support.rpc.versions import (
    content,
    delete_version,
    replaced,
    restore,
    until,
    until_version,
    version,
)
from tests.support.tools import eventually_async

ANN = "owner:/user:ann"


def kept(found: media_pb2.MediaVersion) -> set[str]:
    return {rendition.name for rendition in found.renditions}


async def in_public(service: Running, table: str) -> int:
    """How many renditions of a table are in the public store."""
    query = f"select from {table} join blobs using (blob_id) where store = 'public'"
    async with service.database() as db:
        return (await db.execute(query.encode())).rowcount


async def rendered_of(caller: Caller, media_id: str, number: int) -> Mapping[str, int]:
    """The renditions of a media and their sizes, once all are of this version."""
    media = await until(
        caller,
        media_id,
        lambda m: m.version == number and {r.version for r in m.renditions} == {number},
    )
    return {rendition.name: rendition.size_bytes for rendition in media.renditions}


async def test_renditions_stay_with_their_version(working: Running) -> None:
    await make_administrator(working, "root")
    ann, bob, root = [await working.caller(name) for name in ("ann", "bob", "root")]
    media_id = (await ann.store(jpeg())).media_id
    await until_done(ann, media_id)
    done = await process(ann, media_id, "resize:20x", rendition_name="tiny")
    await ended(ann, done.job_id)
    await set_quota(root, ANN, RENDITION_BYTES=10_000_000)
    await update(ann, ["visibility"], media_id=media_id, visibility=media_pb2.Media.PUBLIC)
    first = await rendered_of(ann, media_id, 1)
    before = {name: await content(ann, media_id, 1, name) for name in first}

    async def published() -> bool:
        return await in_public(working, "renditions") == len(first)

    await eventually_async(published)
    await replaced(ann, media_id, jpeg(color="red"))
    second = await rendered_of(ann, media_id, 2)
    assert kept(await version(ann, media_id, 1)) == first.keys() >= {"small", "tiny"}
    assert kept(await version(ann, media_id, 2)) == second.keys() == first.keys()
    for name, data in before.items():
        assert await content(ann, media_id, 1, name) == data
        assert await content(ann, media_id, 0, name) != data
    assert not any(each.public_url for each in (await version(ann, media_id, 1)).renditions)
    await grant(ann, f"media:{media_id}", "user:bob", "VIEWER")
    assert (await refused(content(bob, media_id, 1, "small"))).reason == "ROLE_REQUIRED"
    both = sum(first.values()) + sum(second.values())
    assert (await usage(root, ANN))["RENDITION_BYTES"] == (0, both)

    async def unpublished() -> bool:
        """What was replaced leaves the public store."""
        return await in_public(working, "version_renditions") == 0

    await eventually_async(unpublished)
    assert await content(ann, media_id, 1, "tiny") == before["tiny"]
    await delete_version(ann, media_id, 1)
    assert (await usage(root, ANN))["RENDITION_BYTES"] == (0, sum(second.values()))
    assert (await refused(content(ann, media_id, 1, "tiny"))).reason == "VERSION_NOT_FOUND"


async def test_new_renditions_come_before_those_that_are_kept(working: Running) -> None:
    await make_administrator(working, "root")
    ann, root = await working.caller("ann"), await working.caller("root")
    media_id = (await ann.store(jpeg())).media_id
    await until_done(ann, media_id)
    first = await rendered_of(ann, media_id, 1)
    await set_quota(root, ANN, RENDITION_BYTES=sum(first.values()) + 100)
    await replaced(ann, media_id, jpeg(color="red"))
    second = await rendered_of(ann, media_id, 2)
    assert second.keys() == first.keys()
    assert kept(await version(ann, media_id, 1)) == set()
    assert (await usage(root, ANN))["RENDITION_BYTES"] == (0, sum(second.values()))


def photo(year: int, color: str) -> bytes:
    """It says when it was taken."""
    file, made = io.BytesIO(), Image.Exif()
    made.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = f"{year}:05:06 07:08:09"
    Image.new("RGB", (64, 48), color).save(file, "JPEG", exif=made.tobytes())
    return file.getvalue()


async def test_the_time_of_capture_follows_the_file_unless_a_caller_has_set_it(
    working: Running,
) -> None:
    ann = await working.caller()
    found, corrected = [
        (await until_done(ann, (await ann.store(photo(2001, "red"))).media_id)).media_id
        for _ in range(2)
    ]

    async def year(media_id: str) -> int:
        media = await get(ann, media_id)
        return media.capture_time.ToDatetime().year if media.HasField("capture_time") else 0

    assert await year(found) == 2001
    taken = (await get(ann, found)).capture_time
    taken.seconds -= 1
    await update(ann, ["capture_time"], media_id=corrected, capture_time=taken)
    for number, (data, expected) in enumerate(
        [(photo(2011, "blue"), 2011), (png(), 0), (photo(2021, "green"), 2021)], 2
    ):
        for media_id in (found, corrected):
            await replaced(ann, media_id, data)
        for media_id in (found, corrected):
            await until_version(ann, media_id, number)
        assert (await year(found), await year(corrected)) == (expected, 2001)
    await restore(ann, found, 1)
    await until_version(ann, found, 5)
    assert await year(found) == 2001


async def test_the_metadata_of_new_and_restored_versions_is_stripped(working: Running) -> None:
    ann = await working.caller()
    project = (await create_project(ann)).project_id
    media_id = (await store_in(ann, project, private_jpeg())).media_id
    await until_done(ann, media_id)
    await set_policy(ann, f"project:{project}", strip_metadata=True)
    assert SECRET.encode() in await ann.content(media_id), "what was accepted before stays"
    await replaced(ann, media_id, private_jpeg(6))
    assert SECRET.encode() in await ann.content(media_id), "the one before is still current"
    await until_version(ann, media_id, 2)
    assert SECRET.encode() not in await ann.content(media_id)
    assert SECRET.encode() in await content(ann, media_id, 1)
    await restore(ann, media_id, 1)
    await until_version(ann, media_id, 3)
    assert SECRET.encode() not in await ann.content(media_id)
    sizes = [len(await content(ann, media_id, number)) for number in (1, 2, 3)]
    assert sizes[2] < sizes[0]


async def seconds(caller: Caller, media_id: str, playlist: str) -> float:
    found = re.findall(r"^#EXTINF:([\d.]+)", await text(caller, media_id, playlist), re.MULTILINE)
    return sum(map(float, found))


async def test_the_subtitles_and_the_stream_of_a_video_follow_its_file(lend: Start) -> None:
    service = await lend(work=True, video_presets="-", video_profiles="144=200")
    ann = await service.caller()
    media_id = (await ann.store(counted(2, "5", "96x64"), "a.mp4")).media_id
    await until_done(ann, media_id)
    for name, ops in (("board", "storyboard:1"), ("stream", "mute,stream:min_height=144")):
        job = await process(ann, media_id, ops, rendition_name=name)
        await ended(ann, job.job_id)
    (old,) = await playlists(ann, media_id)
    before = await content(ann, media_id, 1, "board.vtt")
    await replaced(ann, media_id, counted(4, "5", "96x64"))
    second = await rendered_of(ann, media_id, 2)
    assert second.keys() >= {"board", "board.vtt", "stream"}
    after = await content(ann, media_id, 0, "board.vtt")
    assert (before.count(b"-->"), after.count(b"-->")) == (2, 4)
    assert await content(ann, media_id, 1, "board.vtt") == before
    (new,) = await playlists(ann, media_id)
    assert new != old
    assert await seconds(ann, media_id, new) == 4
    assert await read(ann, media_id, old), "who is watching the old one may go on"
    assert (await refused(content(ann, media_id, 1, "stream"))).reason == "RENDITION_NOT_FOUND"
    sign = download_service_pb2.SignUrlRequest(media_id=media_id, rendition="stream", version=1)
    refusal = await refused(ann.call(ann.downloads.SignUrl, sign))
    assert refusal.reason == "VERSION_NOT_FOUND"
