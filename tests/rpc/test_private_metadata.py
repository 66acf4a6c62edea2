"""No rendition has the personal metadata of its original."""

import struct
from collections.abc import Sequence
from pathlib import Path

from mediaservice.v1 import download_service_pb2

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
from tests.support.rpc.server import Caller, Running, Start
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
