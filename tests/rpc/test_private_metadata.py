"""No rendition has the personal metadata of its original."""

import struct
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import grpc
import pytest
from mediaservice.v1 import (
    download_service_pb2,
    media_pb2,
    media_service_pb2,
    upload_service_pb2,
)

from tests.support.media.private_files import (
    CREDIT,
    PLACE,
    SECRET,
    private_audio,
    private_jpeg,
    private_pdf,
    private_video,
    private_webp,
)
from tests.support.rpc.jobs import process
from tests.support.rpc.policies import set_policy
from tests.support.rpc.quotas import set_quota, usage
from tests.support.rpc.server import Caller, Running, Start, refusal
from tests.support.rpc.sharing import create_project, make_administrator, store_in
from tests.support.tools import eventually_async

# The beginnings of blocks that may have it in another form, such as compressed.
BLOCKS = (b"http://ns.adobe.com", b"8BIM", b"iTXt", b"zTXt", b"tEXt", b"XMP ", b"\xa9xyz")
SECRETS = (
    SECRET.encode(),
    SECRET.encode("utf-16-le"),
    *(struct.pack(f"{order}d", number) for number in PLACE[:2] for order in "<>"),
)
IMAGES = ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF"]
VIDEO = [
    "transcode",
    "frame",
    "storyboard",
    "preview",
    "stream:min_height=144",
    "audio",
]
AUDIO = ["audio", "audio:FLAC", "audio:OPUS", "audio:AAC", "audio:WAV"]


async def rendered(
    service: Running, caller: Caller, data: bytes, filename: str, ops: Sequence[str]
) -> str:
    """Stores a file, and renders it with all pipelines. Returns the id of the media."""
    media = await caller.store(data, filename)
    for number, each in enumerate(ops):
        name = {} if each.startswith("stream") else {"rendition_name": f"r{number}"}
        await process(caller, media.media_id, each, **name)

    async def idle() -> bool:
        async with service.database() as db:
            rows = await db.execute("select from jobs where state in ('QUEUED', 'RUNNING')")
            return rows.rowcount == 0

    await eventually_async(idle, 120)
    return media.media_id


async def stored(service: Running) -> dict[str, bytes]:
    """All blobs except originals, by what they are."""
    async with service.database() as db:
        failed = await db.execute(
            "select kind, pipeline, error_message from jobs where state = 'FAILED'"
        )
        assert await failed.fetchall() == []
        rows = await db.execute(
            """
            select b.store, b.key, coalesce(r.name || ' ' || r.pipeline, s.track, 'render')
            from blobs b
            left join renditions r using (blob_id)
            left join stream_segments s using (blob_id)
            where not exists (select from media_versions v where v.blob_id = b.blob_id)
            """
        )
        return {
            f"{what} {key}": (service.data_dir / store / key).read_bytes()
            for store, key, what in await rows.fetchall()
        }


def leaks(data: bytes) -> list[bytes]:
    return [secret for secret in (*SECRETS, *BLOCKS) if secret in data]


async def test_no_rendition_has_personal_metadata(start: Start, tmp_path: Path) -> None:
    service = await start(work=True)
    ann = await service.caller()
    converted = [f"resize:32x,convert:{name}" for name in IMAGES]
    kept = [f"{each},metadata:KEEP" for each in converted[:4]]
    photo, webp = private_jpeg(6), private_webp()
    assert all(SECRET.encode() in data for data in (photo, webp, private_video(tmp_path)))
    media_id = await rendered(service, ann, photo, "a.jpg", [*converted, *kept])
    for ops in ("resize:16x", "resize:16x,convert:JPEG,metadata:KEEP"):
        assert leaks(await render(ann, media_id, ops)) == []
    await rendered(service, ann, webp, "a.webp", converted[2:3])
    await rendered(service, ann, private_video(tmp_path), "a.mov", VIDEO)
    await rendered(service, ann, private_audio(tmp_path), "a.mp3", AUDIO)
    await rendered(service, ann, private_pdf(), "a.pdf", ["page"])
    found = await stored(service)
    assert len(found) >= 25
    assert any(CREDIT.encode() in data for data in found.values())
    assert {what: seen for what, data in found.items() if (seen := leaks(data))} == {}


async def render(caller: Caller, media_id: str, ops: str) -> bytes:
    """As in `/image`. It is cached as well."""
    request = download_service_pb2.RenderImageRequest(media_id=media_id, ops=ops)
    call = caller.downloads.RenderImage(request, metadata=caller.metadata)
    return b"".join([piece.data async for piece in call])


async def test_a_policy_strips_originals_before_anybody_can_read_them(start: Start) -> None:
    service = await start(work=True)
    ann, root = await service.caller(), await service.caller("root")
    await make_administrator(service, "root")
    project_id = (await create_project(ann)).project_id
    project = f"project:{project_id}"
    await set_policy(ann, project, strip_metadata=True)
    await set_quota(root, project, BYTES=10_000_000)
    sent = private_jpeg(6)
    message = upload_service_pb2.WriteUploadRequest(data=sent, finish=True)
    message.spec.project_id = project_id
    message.spec.checksums.sha256 = sha256(sent).digest()
    created = (await ann.write([message])).media
    content = await first_content(ann, created.media_id)
    assert content != sent
    assert SECRET.encode() not in content
    media = await in_state(ann, created.media_id, media_pb2.Media.READY)
    assert media.size_bytes == len(content)
    assert media.checksums.sha256 == sha256(content).digest(), "of the stored bytes"
    assert (media.image.width, media.image.height) == (48, 64), "it is still turned"
    assert not media.image.HasField("location")
    assert (await usage(root, project))["BYTES"] == (0, len(content))

    async def removed() -> bool:
        files = [path for path in (service.data_dir / "raw").rglob("*") if path.is_file()]
        return not any(SECRET.encode() in path.read_bytes() for path in files)

    await eventually_async(removed)
    pdf = await store_in(ann, project_id, private_pdf(), "a.pdf")
    failed = await in_state(ann, pdf.media_id, media_pb2.Media.FAILED)
    assert "METADATA_NOT_REMOVABLE" in str(failed.error)
    with pytest.raises(grpc.RpcError):
        await ann.content(pdf.media_id)


async def first_content(caller: Caller, media_id: str) -> bytes:
    """The original, as soon as it can be read."""

    async def read() -> bytes | None:
        try:
            return await caller.content(media_id)
        except grpc.RpcError as error:
            return None if refusal(error).reason == "MEDIA_NOT_READY" else b""

    return await eventually_async(read)


async def in_state(caller: Caller, media_id: str, state: int) -> media_pb2.Media:
    request = media_service_pb2.GetMediaRequest(media_id=media_id, view=media_pb2.Media.FULL)

    async def read() -> media_pb2.Media | None:
        media = await caller.call(caller.media.GetMedia, request)
        return media if media.state == state else None

    return await eventually_async(read)
