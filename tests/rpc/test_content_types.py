"""What a file is: declared types are hints, and inspection has the last word."""

import asyncio

import pytest
from mediaservice.v1 import media_pb2, media_service_pb2, upload_service_pb2

from media_service.media.content_type import READABLE_TYPES
from tests.support.media.accepted_files import RED, accepted_files
from tests.support.media.format_files import ffmpeg
from tests.support.media.raw_files import CAMERAS
from tests.support.media.small_files import jpeg, png
from tests.support.rpc.server import Caller, Start, refused

Kind = media_pb2.Media.Kind
SOUND = ("-f", "lavfi", "-i", "sine=d=0.3")
MOVING = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.3")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("types")
    made = {
        "audio.webm": (*SOUND, "-c:a", "libopus"),
        "audio.m4a": (*SOUND, "-c:a", "aac", "-f", "mp4", "-brand", "mp42"),
        "audio.mka": (*SOUND, "-c:a", "libopus"),
        "video.3gp": (*MOVING, "-c:v", "libx264"),
        "video.ogv": (*MOVING, *SOUND, "-c:v", "libtheora", "-c:a", "libvorbis"),
        "video.m4a": (*MOVING, *SOUND, "-c:v", "libx264", "-c:a", "aac", "-f", "mp4"),
        "audio.flac": SOUND,
    }
    found = {name: ffmpeg(folder / name, *how).read_bytes() for name, how in made.items()}
    found["video.m4a"] = found["video.m4a"].replace(b"ftypisom", b"ftypM4A ", 1)
    # A cover of more bytes than the server looks at.
    tag = 3 << 20
    digits = bytes(tag >> shift & 0x7F for shift in (21, 14, 7, 0))
    found["tagged.flac"] = b"ID3\3\0\0" + digits + bytes(tag) + found["audio.flac"]
    return found


@pytest.fixture(scope="module")
def accepted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return accepted_files(tmp_path_factory.mktemp("accepted"))


async def test_a_file_of_every_type_in_the_docs_becomes_ready(
    start: Start, accepted: dict[str, bytes]
) -> None:
    assert accepted.keys() == {*READABLE_TYPES, "application/pdf"}
    service = await start(work=True, worker_slots="2", thumbnails="small=64")
    ann = await service.caller()
    stored = {name: await declared(ann, data, "") for name, data in accepted.items()}
    for name, media in stored.items():
        found = await settled(ann, media, seconds=120)
        assert media_pb2.Media.State.Name(found.state) == "READY", (name, found.error)
        assert found.content_type == name
        if found.kind == Kind.IMAGE:
            assert found.renditions, name
            assert found.image.width > 24, name  # not its thumbnail
        if found.kind == Kind.IMAGE and name not in CAMERAS and name != "image/heic":
            color = bytes.fromhex(found.dominant_color)
            assert all(abs(a - b) < 12 for a, b in zip(color, RED, strict=True)), (name, color)


async def declared(caller: Caller, data: bytes, content_type: str) -> media_pb2.Media:
    pieces = range(0, len(data), 1 << 20)
    messages = [
        upload_service_pb2.WriteUploadRequest(offset=at, data=data[at : at + (1 << 20)])
        for at in pieces
    ]
    messages[0].spec.content_type = content_type
    messages[-1].finish = True
    return (await caller.write(messages)).media


async def settled(caller: Caller, media: media_pb2.Media, seconds: float = 30) -> media_pb2.Media:
    request = media_service_pb2.GetMediaRequest(media_id=media.media_id)
    async with asyncio.timeout(seconds):
        while True:
            found = await caller.call(caller.media.GetMedia, request)
            if found.state in {media_pb2.Media.READY, media_pb2.Media.FAILED}:
                return found
            await asyncio.sleep(0.05)


# The file, its declared type, its kind and type, and the type that inspection changed.
DECLARED = [
    ("audio.webm", "audio/webm;codecs=opus", "AUDIO", "audio/webm", ""),
    ("audio.webm", "video/webm", "AUDIO", "audio/webm", "video/webm"),
    ("audio.m4a", "audio/mp4", "AUDIO", "audio/mp4", ""),
    ("audio.m4a", "audio/x-m4a", "AUDIO", "audio/mp4", ""),
    ("audio.m4a", "", "AUDIO", "audio/mp4", "video/mp4"),
    ("audio.mka", "audio/x-matroska", "AUDIO", "audio/x-matroska", ""),
    ("video.3gp", "video/3gpp", "VIDEO", "video/3gpp", ""),
    ("video.3gp", "video/mp4", "VIDEO", "video/3gpp", ""),
    ("video.ogv", "video/ogg", "VIDEO", "video/ogg", ""),
    ("video.ogv", "application/ogg", "VIDEO", "video/ogg", "audio/ogg"),
    ("video.m4a", "", "VIDEO", "video/mp4", "audio/mp4"),
    ("tagged.flac", "audio/x-flac", "AUDIO", "audio/flac", "audio/mpeg"),
]


async def test_declared_types_are_hints_and_inspection_has_the_last_word(
    start: Start, files: dict[str, bytes]
) -> None:
    service = await start(work=True, video_presets="-", audio_presets="-", document_presets="-")
    ann = await service.caller()
    stored = [await declared(ann, files[name], type_) for name, type_, *_ in DECLARED]
    for media, (name, type_, kind, final, initial) in zip(stored, DECLARED, strict=True):
        found = await settled(ann, media)
        assert media_pb2.Media.State.Name(found.state) == "READY", (name, type_, found.error)
        expected = (kind, final, initial)
        actual = (Kind.Name(found.kind), found.content_type, found.initial_content_type)
        assert actual == expected, (name, type_)
        assert found.HasField(kind.lower())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        ("image/jpg", jpeg()),
        ("image/jpeg", png()),
        ("binary/octet-stream", png()),
        ("image/*", png()),
        ("*/*", png()),
        ("application/octet-stream", png()),
        ("application/x-pdf", b"%PDF-1.4\n"),
        ("Image/PNG; name=x.png", png()),
    ],
)
async def test_a_customary_declared_type_is_accepted(
    ann: Caller, content_type: str, data: bytes
) -> None:
    assert (await declared(ann, data, content_type)).state == media_pb2.Media.PENDING


async def test_strict_types_must_be_those_of_the_bytes(
    start: Start, files: dict[str, bytes]
) -> None:
    ann = await (await start(declared_types="strict")).caller()
    refusal = await refused(declared(ann, png(), "image/jpeg"))
    assert (refusal.reason, refusal.metadata["detected_type"]) == ("TYPE_MISMATCH", "image/png")
    assert (await refused(declared(ann, files["video.3gp"], "video/mp4"))).reason == "TYPE_MISMATCH"
    for data, content_type in ((jpeg(), "image/jpg"), (files["audio.m4a"], "audio/x-m4a")):
        await declared(ann, data, content_type)


async def test_inspection_applies_the_policy_to_the_type_that_it_finds(
    start: Start, files: dict[str, bytes]
) -> None:
    service = await start(work=True, allowed_types="audio/*", audio_presets="-")
    ann = await service.caller()
    audio = await settled(ann, await declared(ann, files["audio.m4a"], ""))
    assert audio.state == media_pb2.Media.READY
    video = await settled(ann, await declared(ann, files["video.3gp"], ""))
    assert video.state == media_pb2.Media.FAILED
    assert "video/3gpp" in video.error.message


async def test_a_refused_type_is_named(ann: Caller) -> None:
    for data, name in ((b"gimp xcf file\0", "image/x-xcf"), (b"MThd\0\0\0\6", "audio/midi")):
        refusal = await refused(declared(ann, data, ""))
        assert (refusal.reason, refusal.metadata["content_type"]) == ("TYPE_NOT_ALLOWED", name)
