"""ZIP archives: their bytes, who reads them, and when they end."""

import io
import json
import random
import zipfile
import zlib
from pathlib import Path

import grpc
import pytest
from mediaservice.v1 import archive_service_pb2, archive_service_pb2_grpc, download_service_pb2

from media_service.downloads.archives import service as archives
from tests.support.media.small_files import jpeg
from tests.support.renditions import give
from tests.support.rpc import collections
from tests.support.rpc.archives import archive_content, create_archive
from tests.support.rpc.audit import entries
from tests.support.rpc.catalogue import delete, get
from tests.support.rpc.commands import Run
from tests.support.rpc.server import Caller, Running, refused, text_of, unknown_id
from tests.support.rpc.share_links import share, visitor
from tests.support.rpc.sharing import grant, revoke
from tests.support.tools import eventually_async

FIRST, SECOND = jpeg(), jpeg(width=64, height=48)


async def stored(caller: Caller) -> tuple[str, str]:
    """Two media of the same name."""
    first = await caller.store(FIRST, filename="Жук.jpg")
    return first.media_id, (await caller.store(SECOND, filename="Жук.jpg")).media_id


async def read_range(caller: Caller, archive_id: str, start: int, end: int) -> bytes:
    return await archive_content(caller, archive_id, ("range", f"bytes={start}-{end - 1}"))


async def test_an_archive_has_the_stated_size_and_continues_at_any_byte(ann: Caller) -> None:
    """Also before the CRC-32 of its files is known, which then comes from the store."""
    media_ids = await stored(ann)
    fresh = [await create_archive(ann, *media_ids, filename="a.zip") for _ in range(4)]
    size = fresh[0].size_bytes
    parts = [(0, 1), (40, size - 1), (size // 2, size), (size - 10, size)]
    early = [
        await read_range(ann, each.archive_id, *part)
        for each, part in zip(fresh, parts, strict=True)
    ]
    whole = await archive_content(ann, fresh[0].archive_id)
    assert len(whole) == size == fresh[1].size_bytes
    assert early == [whole[start:end] for start, end in parts]
    with zipfile.ZipFile(io.BytesIO(whole)) as found:
        assert found.namelist() == ["Жук.jpg", "Жук (2).jpg"]
        assert [found.read(name) for name in found.namelist()] == [FIRST, SECOND]
    # Now the sums are known, so that headers have them.
    known = await create_archive(ann, *media_ids)
    whole = await archive_content(ann, known.archive_id)
    assert len(whole) == known.size_bytes == size - 2 * 16
    assert int.from_bytes(whole[14:18], "little") == zlib.crc32(FIRST)
    assert zipfile.ZipFile(io.BytesIO(whole)).testzip() is None
    for _ in range(20):
        start, end = sorted(random.sample(range(known.size_bytes + 1), 2))
        assert await read_range(ann, known.archive_id, start, end) == whole[start:end]


async def test_each_file_counts_as_a_download(ann: Caller, service: Running) -> None:
    media_ids = await stored(ann)
    archive = await create_archive(ann, *media_ids)
    await archive_content(ann, archive.archive_id)
    await read_range(ann, archive.archive_id, archive.size_bytes - 5, archive.size_bytes)
    expected = [
        ("media.download", media_ids[0], "ann", True, len(FIRST)),
        ("media.download", media_ids[1], "ann", True, len(SECOND)),
    ]

    async def recorded() -> bool:
        log = await entries(service, "action", "media_id", "actor", "counted", "bytes")
        return [each for each in log if each[0] == "media.download" and each[1] in media_ids] == (
            expected
        )

    await eventually_async(recorded)


async def test_a_url_reads_it_without_a_token_until_it_is_revoked(
    ann: Caller, service: Running
) -> None:
    media_ids = await stored(ann)
    archive = await create_archive(ann, *media_ids, filename="été.zip")
    token, path = archive.url.split("/")[-2:]
    assert path == "%C3%A9t%C3%A9.zip"
    async with grpc.aio.insecure_channel(service.address) as channel:
        stub = archive_service_pb2_grpc.ArchiveServiceStub(channel)
        request = archive_service_pb2.GetSignedArchiveRequest(token=token, path=path)
        call = stub.GetSignedArchive(request)
        whole = b"".join([body.data async for body in call])
        assert zipfile.ZipFile(io.BytesIO(whole)).testzip() is None
        headers = text_of(await call.initial_metadata())
        assert headers["content-disposition"].startswith("attachment")
        assert headers["x-content-length"] == str(archive.size_bytes)
        revocation = download_service_pb2.RevokeSignedUrlsRequest(media_id=media_ids[1])
        await ann.call(ann.downloads.RevokeSignedUrls, revocation)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetSignedArchive(request).read()
        assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED


async def test_only_the_creator_reads_it_while_they_may_read_all_of_it(
    ann: Caller, bob: Caller
) -> None:
    media_ids = await stored(ann)
    for media_id in media_ids:
        await grant(ann, f"media:{media_id}", "user:bob", "VIEWER")
    archive = await create_archive(bob, *media_ids)
    assert (await refused(archive_content(ann, archive.archive_id))).reason == "ARCHIVE_NOT_FOUND"
    assert len(await archive_content(bob, archive.archive_id)) == archive.size_bytes
    await revoke(ann, f"media:{media_ids[0]}", "user:bob")
    assert (await refused(archive_content(bob, archive.archive_id))).reason == "ARCHIVE_CHANGED"
    refusal = await refused(create_archive(bob, *media_ids))
    assert (refusal.reason, refusal.metadata["media_id"]) == ("MEDIA_NOT_FOUND", media_ids[0])
    await delete(ann, media_ids[1])
    assert (await refused(create_archive(ann, media_ids[1]))).reason == "MEDIA_DELETED"


async def test_the_session_of_a_link_gets_all_that_it_shares(ann: Caller, service: Running) -> None:
    media_ids = await stored(ann)
    targets = [f"media:{media_id}" for media_id in media_ids]
    guest = await visitor(service, (await share(ann, *targets, mode="DOWNLOAD")).secret)
    archive = await create_archive(guest)
    assert archive.file_count == 2
    assert len(await archive_content(guest, archive.archive_id)) == archive.size_bytes
    viewer = await visitor(service, (await share(ann, *targets)).secret)
    assert (await refused(create_archive(viewer))).reason == "DOWNLOAD_NOT_ALLOWED"
    await give(service.environ, media_ids[0], "small", b"small")
    small = await create_archive(viewer, rendition="small")
    assert (small.file_count, small.skipped_count) == (1, 1)
    with zipfile.ZipFile(io.BytesIO(await archive_content(viewer, small.archive_id))) as found:
        assert found.read(found.namelist()[0]) == b"small"


async def test_an_archive_of_a_collection_has_its_order_and_folders(
    ann: Caller, service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await stored(ann)
    outer = (await collections.create(ann, "Summer")).collection_id
    made = [
        (await collections.create(ann, title, parent_id=outer)).collection_id
        for title in ("A/B: ..", "..", "a_b_")
    ]
    await collections.add(ann, outer, [second, first])
    await collections.add(ann, made[0], [first, second])
    await collections.add(ann, made[1], [first])
    await collections.add(ann, made[2], [second])
    expected = {
        "Жук.jpg": SECOND,
        "Жук (2).jpg": FIRST,
        "_/Жук.jpg": FIRST,
        "A_B_/Жук.jpg": FIRST,
        "A_B_/Жук (2).jpg": SECOND,
        "a_b_ (2)/Жук.jpg": SECOND,
    }
    link = await share(ann, f"collection:{outer}", mode="DOWNLOAD")
    guest = await visitor(service, link.secret)
    for caller, selection in ((ann, {"collection_id": outer.upper()}), (guest, {})):
        archive = await create_archive(caller, **selection)
        whole = await archive_content(caller, archive.archive_id)
        assert len(whole) == archive.size_bytes
        with zipfile.ZipFile(io.BytesIO(whole)) as found:
            assert {name: found.read(name) for name in found.namelist()} == expected
            assert found.namelist()[:2] == list(expected)[:2]
    await collections.take_out(ann, made[2], [second])
    await collections.take_out(ann, outer, [second])
    await collections.take_out(ann, made[0], [second])
    changed = archive_content(guest, archive.archive_id)
    assert (await refused(changed)).reason == "ARCHIVE_CHANGED"
    both = create_archive(ann, first, collection_id=outer)
    assert (await refused(both)).reason == "INVALID_FIELD"
    unknown = create_archive(ann, collection_id=unknown_id())
    assert (await refused(unknown)).reason == "COLLECTION_NOT_FOUND"
    monkeypatch.setattr(archives, "MOST_COLLECTIONS", 3)
    assert (await refused(create_archive(guest))).reason == "ARCHIVE_TOO_LARGE"
    monkeypatch.setattr(archives, "MOST_COLLECTIONS", 4)
    monkeypatch.setattr(archives, "MOST_FILES", 2)
    assert (await refused(create_archive(guest))).reason == "ARCHIVE_TOO_LARGE"


async def test_what_cannot_be_archived_is_refused_with_what_to_do(
    ann: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    media_ids = await stored(ann)
    assert (await refused(create_archive(ann))).reason == "INVALID_FIELD"
    assert (await refused(create_archive(ann, filter="size_bytes>1TB"))).reason == "INVALID_FILTER"
    assert (await refused(create_archive(ann, filter="width>9999"))).reason == "ARCHIVE_EMPTY"
    missing = await refused(create_archive(ann, media_ids[0], rendition="huge"))
    assert missing.reason == "RENDITION_NOT_FOUND"
    assert (await refused(archive_content(ann, unknown_id()))).reason == "ARCHIVE_NOT_FOUND"
    found = await create_archive(ann, filter='filename="Жук*"')
    assert found.file_count == 2
    monkeypatch.setattr(archives, "MOST_FILES", 1)
    assert (await refused(create_archive(ann, filter="kind=IMAGE"))).reason == "ARCHIVE_TOO_LARGE"


async def test_the_newest_archives_of_a_caller_stay_until_they_expire(
    ann: Caller, service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    media_ids = await stored(ann)
    monkeypatch.setattr(archives, "MOST_ARCHIVES", 2)
    created = [(await create_archive(ann, *media_ids)).archive_id for _ in range(3)]
    assert (await refused(archive_content(ann, created[0]))).reason == "ARCHIVE_NOT_FOUND"
    assert await archive_content(ann, created[1])
    async with service.database() as db:
        await db.execute("update archives set expire_time = now() - interval '1 second'")
    assert (await refused(archive_content(ann, created[1]))).reason == "ARCHIVE_NOT_FOUND"
    assert (await get(ann, media_ids[0])).media_id == media_ids[0]


async def test_the_command_prints_a_url(ann: Caller, service: Running, tmp_path: Path) -> None:
    run, media_ids = Run(service, tmp_path), await stored(ann)
    [[archive_id, size, url]] = await run("ann", "archive", *media_ids, "--name", "a.zip")
    assert url.endswith("/a.zip")
    assert len(await archive_content(ann, archive_id)) == int(size)
    result = await run.result("ann", "archive", "--filter", 'filename="Жук*"', "--json")
    assert json.loads(result.stdout)["fileCount"] >= 2
    album = (await collections.create(ann)).collection_id
    await collections.add(ann, album, media_ids)
    [[archive_id, size, _]] = await run("ann", "archive", "--collection", album)
    assert len(await archive_content(ann, archive_id)) == int(size)
    missing = await run.result("ann", "archive", unknown_id())
    assert (missing.exit_code, "MEDIA_NOT_FOUND" in missing.output) == (1, True)
