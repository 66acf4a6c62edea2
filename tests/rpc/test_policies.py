"""Policies of organizations and projects limit uploads, however they arrive."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from mediaservice.v1 import (
    access_service_pb2,
    download_service_pb2,
    media_pb2,
    policy_service_pb2,
    upload_pb2,
    upload_service_pb2,
)

from media_service.db.database import Database
from media_service.policies.periodic_tasks import delete_outdated
from tests.support.batches import changed_by
from tests.support.media.format_files import make_audio, make_video
from tests.support.media.small_files import jpeg, png, video_bytes
from tests.support.rpc.audit import entries
from tests.support.rpc.catalogue import get, listed, undelete, until_done, update
from tests.support.rpc.parts import MIB
from tests.support.rpc.policies import get_policy, set_policy
from tests.support.rpc.quotas import set_quota, usage
from tests.support.rpc.refused_media import check_withheld, reprocess
from tests.support.rpc.server import Caller, Running, refused
from tests.support.rpc.share_links import share, visitor
from tests.support.rpc.sharing import (
    create_organization,
    create_project,
    grant,
    make_administrator,
    store_in,
)
from tests.support.rpc.ways import WAYS
from tests.support.tools import eventually_async

Media = media_pb2.Media
SIZE = len(jpeg())


@pytest.fixture
async def admin(service: Running) -> Caller:
    await make_administrator(service, "root")
    return await service.caller("root")


@pytest.fixture
async def project(ann: Caller) -> str:
    return (await create_project(ann)).project_id


async def test_every_kind_of_upload_follows_the_policy_of_its_project(
    ann: Caller, admin: Caller, project: str
) -> None:
    await set_quota(admin, f"project:{project}", BYTES=1_000_000_000)
    await set_policy(ann, f"project:{project}", allowed_types=["image/jpeg"], max_size_bytes=SIZE)
    for send in WAYS:
        refusal = await refused(send(ann, png(), project_id=project))
        assert refusal.reason == "TYPE_NOT_ALLOWED", send
        assert refusal.metadata == {"content_type": "image/png", "allowed_types": "image/jpeg"}
        refusal = await refused(send(ann, jpeg() + b"\0", project_id=project))
        assert (refusal.reason, refusal.metadata) == (
            "FILE_TOO_LARGE",
            {"max_size_bytes": str(SIZE)},
        ), send
        await send(ann, jpeg(), project_id=project)
    used = await usage(admin, f"project:{project}")
    assert used["BYTES"][1] == len(WAYS) * SIZE, "what was refused does not count"
    for early in ({"content_type": "image/png"}, {"size_bytes": SIZE + 1}):
        assert (await refused(ann.create(project_id=project, **early))).reason in {
            "TYPE_NOT_ALLOWED",
            "FILE_TOO_LARGE",
        }
    batch = upload_service_pb2.BatchCreateUploadsRequest()
    for declared in ("image/png", "image/jpeg"):
        batch.requests.add().spec.MergeFrom(
            upload_pb2.UploadSpec(project_id=project, content_type=declared)
        )
    results = (await ann.call(ann.uploads.BatchCreateUploads, batch)).results
    assert [result.WhichOneof("result") for result in results] == ["error", "upload"]
    await ann.store(png())  # in no project


async def test_a_guest_is_under_the_policy_of_the_project_and_publishes_nothing(
    service: Running, ann: Caller, project: str
) -> None:
    settings = {"allowed_types": ["image/jpeg"], "default_visibility": "PUBLIC"}
    await set_policy(ann, f"project:{project}", **settings)
    guest = await visitor(service, (await share(ann, f"project:{project}", mode="UPLOAD")).secret)
    assert (await refused(store_in(guest, project, png()))).reason == "TYPE_NOT_ALLOWED"
    await store_in(guest, project, jpeg())
    (media,) = await listed(ann, project_id=project)
    assert media.visibility == Media.PRIVATE


async def test_a_project_narrows_the_limits_of_its_organization_and_overrides_its_defaults(
    service: Running, ann: Caller, admin: Caller
) -> None:
    await create_organization(admin, "acme")
    await grant(admin, "organization:acme", "user:ann", "EDITOR")
    project = (await create_project(ann, organization_id="acme")).project_id
    acme, inner = "organization:acme", f"project:{project}"
    refusal = await refused(set_policy(ann, acme, max_size_bytes=1))
    assert (refusal.reason, refusal.metadata) == ("ROLE_REQUIRED", {"role": "MANAGER"})
    await set_policy(
        admin,
        acme,
        allowed_types=["image/*"],
        max_pixels=64 * 48,
        max_visibility="PUBLIC",
        default_visibility="PUBLIC",
    )
    await set_policy(ann, inner, allowed_types=["image/jpg", "video/*"], max_pixels=100_000)
    found = await get_policy(ann, inner)
    assert list(found.policy.allowed_types) == ["image/jpeg", "video/*"]
    assert list(found.inherited.allowed_types) == ["image/*"]
    assert not found.inherited.HasField("max_size_bytes")

    media = await store_in(ann, project, jpeg())
    assert media.visibility == Media.PUBLIC, "the default of the organization"
    assert (await refused(store_in(ann, project, png()))).reason == "TYPE_NOT_ALLOWED"
    assert (await refused(ann.create(project_id=project, content_type="video/mp4"))).metadata[
        "allowed_types"
    ] == "image/*"
    assert (await refused(store_in(ann, project, jpeg(65, 48)))).reason == "PIXEL_LIMIT_EXCEEDED"
    await set_policy(ann, inner, default_visibility="PUBLIC_ORIGINAL")
    assert (await ann.create(project_id=project)).spec.visibility == Media.PUBLIC
    stated = await ann.create(project_id=project, visibility="PRIVATE")
    assert stated.spec.visibility == Media.PRIVATE
    await set_policy(ann, inner, default_visibility="PRIVATE")
    assert (await ann.create(project_id=project)).spec.visibility == Media.PRIVATE
    outside = await service.caller("ann", org="acme")
    assert (await outside.create()).spec.visibility == Media.PUBLIC, "in no project"
    assert (await outside.create(content_type="image/png")).state == upload_pb2.Upload.ACTIVE
    refusal = await refused(outside.create(content_type="video/mp4"))
    assert refusal.reason == "TYPE_NOT_ALLOWED"

    removed = await set_policy(ann, inner)
    assert not removed.HasField("policy")
    await store_in(ann, project, png())


async def test_media_become_no_more_visible_than_the_policy_allows(
    ann: Caller, project: str
) -> None:
    private = await store_in(ann, project, jpeg())
    public = await ann.store(jpeg())
    await update(ann, ["visibility"], media_id=public.media_id, visibility="PUBLIC_ORIGINAL")
    await set_policy(ann, f"project:{project}", max_visibility="PUBLIC")
    for wanted in (
        ann.create(project_id=project, visibility="PUBLIC_ORIGINAL"),
        update(ann, ["visibility"], media_id=private.media_id, visibility="PUBLIC_ORIGINAL"),
        transfer(ann, public.media_id, project),
    ):
        refusal = await refused(wanted)
        assert (refusal.code, refusal.reason, refusal.metadata) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "VISIBILITY_NOT_ALLOWED",
            {"max_visibility": "PUBLIC"},
        )
    await update(ann, ["visibility"], media_id=private.media_id, visibility="PUBLIC")
    await update(ann, ["visibility"], media_id=public.media_id, visibility="PUBLIC")
    await transfer(ann, public.media_id, project)


async def test_a_media_is_transferred_only_to_a_project_whose_policy_accepts_it(
    working: Running, tmp_path: Path
) -> None:
    ann = await working.caller("ann")
    project = (await create_project(ann)).project_id
    other = (await create_project(ann)).project_id
    photo = await ann.store(jpeg())
    video = await ann.store(make_video(tmp_path / "a.mp4", "mpeg4", "", frames=60).read_bytes())
    for media in (photo, video):
        assert (await until_done(ann, media.media_id)).state == Media.READY
    for media, settings, reason, metadata in (
        (photo, {"max_size_bytes": SIZE - 1}, "FILE_TOO_LARGE", {"max_size_bytes": str(SIZE - 1)}),
        (
            photo,
            {"allowed_types": ["video/*"]},
            "TYPE_NOT_ALLOWED",
            {"content_type": "image/jpeg", "allowed_types": "video/*"},
        ),
        (photo, {"max_pixels": 64 * 48 - 1}, "PIXEL_LIMIT_EXCEEDED", {}),
        (
            video,
            {"max_duration_seconds": 1},
            "DURATION_LIMIT_EXCEEDED",
            {"max_duration_seconds": "1"},
        ),
        (photo, {"strip_metadata": True}, "METADATA_NOT_REMOVED", {"media_id": photo.media_id}),
    ):
        await set_policy(ann, f"project:{project}", **settings)
        refusal = await refused(transfer(ann, media.media_id, project))
        assert (refusal.reason, refusal.metadata) == (reason, metadata)
        assert not (await get(ann, media.media_id)).project_id

    # A stripped original can come.
    await set_policy(ann, f"project:{other}", strip_metadata=True)
    stripped = await store_in(ann, other, jpeg())
    assert (await until_done(ann, stripped.media_id)).state == Media.READY
    assert (await transfer(ann, stripped.media_id, project)).project_id == project
    # What a project has already stays, whatever its policy says now.
    await set_policy(ann, f"project:{project}", max_size_bytes=1)
    await transfer(ann, stripped.media_id, project)
    # Leaving a project needs no policy.
    await transfer(ann, stripped.media_id, "")


async def test_a_media_is_not_transferred_before_inspection_if_the_policy_needs_it(
    ann: Caller, project: str
) -> None:
    media = await ann.store(jpeg())
    await set_policy(ann, f"project:{project}", max_pixels=1_000_000)
    refusal = await refused(transfer(ann, media.media_id, project))
    assert (refusal.reason, refusal.metadata) == ("MEDIA_NOT_READY", {"media_id": media.media_id})


async def transfer(caller: Caller, media_id: str, project: str) -> Any:
    request = access_service_pb2.TransferMediaRequest(media_id=media_id, project_id=project)
    return await caller.call(caller.access.TransferMedia, request)


async def test_policies_are_for_those_who_manage_the_resource(
    service: Running, ann: Caller, bob: Caller, project: str
) -> None:
    resource = f"project:{project}"
    assert (await refused(get_policy(bob, resource))).reason == "RESOURCE_NOT_FOUND"
    assert (await refused(set_policy(bob, resource))).reason == "RESOURCE_NOT_FOUND"
    await grant(ann, resource, "user:bob", "EDITOR")
    assert (await refused(set_policy(bob, resource, max_pixels=1))).reason == "ROLE_REQUIRED"
    assert not (await get_policy(bob, resource)).HasField("policy")
    await grant(ann, resource, "user:bob", "MANAGER")
    await set_policy(bob, resource, max_pixels=1)
    assert (await get_policy(ann, resource)).policy.max_pixels == 1
    preset, wrong = policy_service_pb2.PolicyPreset, "owner:/user:ann"
    for wanted, field in (
        (get_policy(ann, wrong), "resource"),
        (set_policy(ann, resource, allowed_types=["image"]), "policy.allowed_types[0]"),
        (set_policy(ann, resource, max_visibility=1, default_visibility=2), "policy"),
        (
            set_policy(ann, resource, presets=[preset(kind=Media.VIDEO, name="a", ops="stream")]),
            "policy.presets[0].name",
        ),
        (
            set_policy(
                ann, resource, presets=[preset(kind=Media.IMAGE, name="a", ops="blur:1")] * 2
            ),
            "policy.presets[1].name",
        ),
    ):
        refusal = await refused(wanted)
        assert (refusal.reason, refusal.fields) == ("INVALID_FIELD", [field])
    bad = set_policy(ann, resource, presets=[preset(kind=Media.IMAGE, name="a", ops="stream")])
    assert (await refused(bad)).reason == "OPERATION_NOT_APPLICABLE"
    assert ("policies.set", "bob", "OK") in await entries(service, "action", "actor", "outcome")


async def test_media_older_than_their_retention_are_deleted_by_the_service(
    service: Running, ann: Caller, admin: Caller, database: Database
) -> None:
    await create_organization(admin, "acme")
    await grant(admin, "organization:acme", "user:ann", "OWNER")
    in_acme = (await create_project(ann, organization_id="acme")).project_id
    own = (await create_project(ann)).project_id
    kept = [await store_in(ann, project, jpeg()) for project in (in_acme, own)]
    old = [await store_in(ann, project, jpeg()) for project in (in_acme, own)]
    elsewhere = await ann.store(jpeg())
    async with service.database() as db:
        aged = [each.media_id for each in (*old, elsewhere)]
        await db.execute(
            "update media set create_time = create_time - interval '11 days'"
            " where media_id = any(%s::uuid[])",
            (aged,),
        )
    await set_policy(admin, "organization:acme", retention_days=10)
    await set_policy(ann, f"project:{in_acme}", retention_days=100)
    await set_policy(ann, f"project:{own}", retention_days=10)
    month = timedelta(days=30)
    assert await changed_by(delete_outdated(database, month)) == 2
    assert await changed_by(delete_outdated(database, month)) == 0
    for media in old:
        found = await get(ann, media.media_id)
        assert found.purge_time.seconds - found.delete_time.seconds == month.total_seconds()
    for media in (*kept, elsewhere):
        assert not (await get(ann, media.media_id)).HasField("delete_time")
    deletions = [
        each
        for each in await entries(service, "action", "actor_type", "media_id", "outcome")
        if each[0] == "media.delete"
    ]
    assert deletions == [
        ("media.delete", "service", media.media_id, "RETENTION_ENDED") for media in old
    ]


async def test_inspection_refuses_what_the_first_bytes_do_not_tell(
    working: Running, tmp_path: Path
) -> None:
    ann = await working.caller("ann")
    project = (await create_project(ann)).project_id
    preset = policy_service_pb2.PolicyPreset(
        kind=Media.VIDEO, name="banner", ops="frame:0,resize:32x"
    )
    await set_policy(
        ann,
        f"project:{project}",
        allowed_types=["video/*"],
        max_duration_seconds=1,
        presets=[preset],
    )
    video = make_video(tmp_path / "a.mp4", "mpeg4", "", frames=20).read_bytes()
    media = await store_in(ann, project, video)

    async def rendered() -> bool:
        return [r.name for r in (await get(ann, media.media_id)).renditions] == ["banner"]

    await eventually_async(rendered)

    long = make_video(tmp_path / "b.mp4", "mpeg4", "", frames=60).read_bytes()
    sound = make_audio(tmp_path / "c.mp4", "aac").read_bytes()
    for data, reason, metadata in (
        (long, "DURATION_LIMIT_EXCEEDED", {"max_duration_seconds": "1"}),
        (sound, "TYPE_NOT_ALLOWED", {"content_type": "audio/mp4", "allowed_types": "video/*"}),
    ):
        stored = await store_in(ann, project, data)
        found = await until_done(ann, stored.media_id)
        info = error_details_pb2.ErrorInfo()
        assert found.state == Media.FAILED
        assert found.error.details[0].Unpack(info)
        assert (info.reason, dict(info.metadata)) == (reason, metadata)
        assert found.purge_time.seconds - found.delete_time.seconds == 24 * 3600
        assert (await refused(ann.content(stored.media_id))).reason == "MEDIA_DELETED"
        await undelete(ann, stored.media_id)
        await check_withheld(ann, stored.media_id, reason)
    await set_policy(ann, f"project:{project}", max_pixels=128 * 72 - 1)
    stored = await store_in(ann, project, video)
    assert "pixels" in (await until_done(ann, stored.media_id)).error.message

    await set_policy(ann, f"project:{project}", max_pixels=128 * 72)
    await undelete(ann, stored.media_id)
    await reprocess(ann, stored.media_id)

    async def accepted() -> bool:
        return (await get(ann, stored.media_id)).state == Media.READY

    await eventually_async(accepted)
    assert await ann.content(stored.media_id) == video


@pytest.mark.usefixtures("impatient")
async def test_a_rendition_that_a_policy_adds_is_expected_before_inspection(
    ann: Caller, project: str
) -> None:
    preset = policy_service_pb2.PolicyPreset(kind=Media.IMAGE, name="banner", ops="resize:32x")
    await set_policy(ann, f"project:{project}", presets=[preset])
    inside, outside = await store_in(ann, project, jpeg()), await ann.store(jpeg())
    for media, reason in ((inside, "MEDIA_NOT_READY"), (outside, "RENDITION_NOT_FOUND")):
        request = download_service_pb2.DownloadRequest(media_id=media.media_id, rendition="banner")
        call = ann.downloads.Download(request, metadata=ann.metadata)
        assert (await refused(anext(aiter(call)))).reason == reason


ZIP = b"PK\3\4" + bytes(26)


async def test_a_slow_stream_is_refused_by_its_first_bytes(ann: Caller, project: str) -> None:
    await set_policy(ann, f"project:{project}", allowed_types=["image/*"])
    upload, own = [await ann.create(**spec) for spec in ({"project_id": project}, {})]

    async def trickle(
        data: bytes, **first: Any
    ) -> AsyncIterator[upload_service_pb2.WriteUploadRequest]:
        # The first bytes of the stream tell nothing, and are counted before more arrive.
        yield upload_service_pb2.WriteUploadRequest(data=data[:3000], **first)
        await asyncio.sleep(1.5)
        yield upload_service_pb2.WriteUploadRequest(data=data[3000:], offset=3000)
        await asyncio.Event().wait()

    streams = (
        trickle(video_bytes(5000), spec=upload_pb2.UploadSpec(project_id=project)),
        trickle(video_bytes(5000), upload_id=upload.upload_id),
        # Not even the service accepts it.
        trickle(ZIP + bytes(5000), upload_id=own.upload_id),
    )
    calls = [ann.uploads.WriteUpload(stream, metadata=ann.metadata) for stream in streams]
    async with asyncio.timeout(20):
        refusals = await asyncio.gather(*map(refused, calls))
    assert {refusal.reason for refusal in refusals} == {"TYPE_NOT_ALLOWED"}
    for ended in (upload, own):
        found = await ann.get_upload(ended.upload_id)
        assert found.state == upload_pb2.Upload.FAILED
        assert "are not accepted" in found.error.message


async def test_an_upload_is_refused_by_the_first_of_its_appends(ann: Caller, project: str) -> None:
    await set_policy(ann, f"project:{project}", allowed_types=["image/*"])
    for data, reason in ((video_bytes(5000), "TYPE_NOT_ALLOWED"), (jpeg() + bytes(5000), "")):
        upload_id = (await ann.create(project_id=project)).upload_id
        request = upload_service_pb2.AppendUploadRequest(upload_id=upload_id)
        request.body.data = data
        call = ann.uploads.AppendUpload(
            iter([request]), metadata=(*ann.metadata, ("upload-offset", "0"))
        )
        if reason:
            assert (await refused(call)).reason == reason
        else:
            assert (await call).committed_size_bytes == len(data)


async def test_a_stream_is_refused_by_its_first_mebibyte(ann: Caller, project: str) -> None:
    await set_policy(ann, f"project:{project}", allowed_types=["image/*"])
    pieces = 256  # of which the server reads only the beginning
    read = 0

    def messages(**first: Any) -> Iterator[upload_service_pb2.WriteUploadRequest]:
        nonlocal read
        message = upload_service_pb2.WriteUploadRequest(**first)
        for number in range(pieces):
            message.data = video_bytes(MIB) if number == 0 else bytes(MIB)
            message.offset = number * MIB
            yield message
            read += 1
            message = upload_service_pb2.WriteUploadRequest(finish=number == pieces - 2)

    spec = upload_pb2.UploadSpec(project_id=project)
    assert (await refused(ann.write(messages(spec=spec)))).reason == "TYPE_NOT_ALLOWED"
    assert read < pieces - 1
    upload, read = await ann.create(project_id=project), 0
    assert (await refused(ann.write(messages(upload_id=upload.upload_id)))).reason == (
        "TYPE_NOT_ALLOWED"
    )
    assert read < pieces - 1
    ended = await ann.get_upload(upload.upload_id)
    assert ended.state == upload_pb2.Upload.FAILED
    assert "video/mp4" in ended.error.message
