"""Attributes that callers set on an upload and its media has: title, labels, project, …"""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from mediaservice.v1 import media_pb2, upload_pb2, upload_service_pb2

from media_service.ids import new_id
from media_service_client import AsyncClient
from tests.support.media.small_files import jpeg
from tests.support.rpc.server import Caller, Running, refused
from tests.support.rpc.sharing import add_project

Media = media_pb2.Media
Spec = upload_pb2.UploadSpec
Upload = upload_pb2.Upload
Create = upload_service_pb2.CreateUploadRequest
Put = upload_service_pb2.PutPartRequest
UploadMedia = upload_service_pb2.UploadMediaRequest
Write = upload_service_pb2.WriteUploadRequest
DATA = jpeg()
ANN = media_pb2.Owner(type="user", id="ann")
BOB = media_pb2.Owner(type="user", id="bob")


def time(text: str) -> Timestamp:
    found = Timestamp()
    found.FromJsonString(text)
    return found


STATED = Spec(
    filename="beach.jpg",
    max_size_bytes=1 << 20,
    project_id="holiday-2026",
    owner=ANN,
    title="Am Strand",
    description="Sand,\nsea & sky",
    tags=["sea", "größe"],
    labels={"album": "2026", "app/v1": ""},
    visibility=Media.PUBLIC,
    capture_time=time("2026-05-06T07:08:09.123456Z"),
    expire_time=time("2100-01-01T00:00:00Z"),
    rating=5,
)
STATED.metadata.update({"shoot": {"takes": [1, None, "x"]}})


@pytest.fixture(autouse=True)
async def projects(service: Running) -> None:
    for project_id, user in (("holiday-2026", "ann"), ("p", "ann"), ("q", "bob")):
        await add_project(service, project_id, user)


def check(media: Media) -> None:
    """Checks that a media has all of `STATED`."""
    for field in (
        *("filename", "project_id", "owner", "title", "description", "tags", "labels"),
        *("visibility", "capture_time", "expire_time", "rating", "metadata"),
    ):
        assert getattr(media, field) == getattr(STATED, field), field
    assert media.original_filename == STATED.filename


async def create(caller: Caller, spec: Spec, request_id: str = "") -> Upload:
    request = Create(spec=spec, request_id=request_id)
    created: Upload = await caller.call(caller.uploads.CreateUpload, request)
    return created


async def complete(caller: Caller, upload_id: str) -> Upload:
    request = upload_service_pb2.CompleteUploadRequest(upload_id=upload_id)
    done: Upload = await caller.call(caller.uploads.CompleteUpload, request)
    return done


async def put(caller: Caller, upload_id: str, data: bytes) -> upload_pb2.Part:
    async def pieces() -> AsyncIterator[Put]:
        message = Put(upload_id=upload_id, part_number=1, size_bytes=len(data))
        message.body.data = data
        yield message

    stored: upload_pb2.Part = await caller.call(caller.uploads.PutPart, pieces())
    return stored


async def upload_media(caller: Caller, spec: Spec, data: bytes = DATA, **request: str) -> Media:
    message = UploadMedia(spec=spec, **request)
    message.body.data = data
    stored: Media = await caller.stream("UploadMedia", [message])
    return stored


# One function for each method of creating an upload and sending its bytes.


async def in_one_message(caller: Caller) -> Media:
    return (await caller.write([Write(spec=STATED, data=DATA, finish=True)])).media


async def in_several_messages(caller: Caller) -> Media:
    messages = [
        Write(spec=STATED, data=DATA[:100]),
        Write(offset=100, data=DATA[100:], finish=True),
    ]
    return (await caller.write(messages)).media


async def over_a_session(caller: Caller) -> Media:
    upload = await create(caller, STATED)
    await caller.write([Write(upload_id=upload.upload_id, data=DATA, finish=True)])
    return (await caller.get_upload(upload.upload_id)).media


async def in_a_batch(caller: Caller) -> Media:
    request = upload_service_pb2.BatchCreateUploadsRequest(requests=[Create(spec=STATED)])
    response = await caller.call(caller.uploads.BatchCreateUploads, request)
    upload_id = response.results[0].upload.upload_id
    await put(caller, upload_id, DATA)
    return (await complete(caller, upload_id)).media


async def in_one_request(caller: Caller) -> Media:
    return await upload_media(caller, STATED)


@pytest.mark.parametrize(
    "store", [in_one_message, in_several_messages, over_a_session, in_a_batch, in_one_request]
)
async def test_a_media_has_the_attributes_of_its_upload(ann: Caller, store: Any) -> None:
    stored = await store(ann)
    check(stored)
    request = upload_service_pb2.ListUploadsRequest()
    (upload,) = (await ann.call(ann.uploads.ListUploads, request)).uploads
    check(upload.media)


async def test_an_upload_shows_its_attributes_and_defaults(ann: Caller) -> None:
    upload = await create(ann, STATED)
    assert upload.spec == STATED
    assert (upload.owner, upload.project_id) == (ANN, "holiday-2026")
    assert await ann.get_upload(upload.upload_id) == upload
    plain = await create(ann, Spec())
    assert plain.spec == Spec(owner=ANN, visibility=Media.PRIVATE)
    at_once = await ann.write([Write(spec=STATED, data=DATA, finish=True)])
    assert at_once == await ann.get_upload(at_once.upload_id)


async def test_a_key_with_other_attributes_is_a_conflict(ann: Caller) -> None:
    key = new_id()
    first = await create(ann, STATED, key)
    assert (await create(ann, STATED, key)).upload_id == first.upload_id
    stored = await upload_media(ann, STATED, request_id=key)
    assert (await upload_media(ann, STATED, request_id=key)).media_id == stored.media_id
    for change in (
        *({"title": "Other"}, {"labels": {"album": "2027"}}, {"tags": ["sky"]}),
        *({"visibility": Media.PRIVATE}, {"project_id": "p"}, {"max_size_bytes": 1 << 21}),
    ):
        other = Spec()
        other.CopyFrom(STATED)
        other.MergeFrom(Spec(**change))
        for repeat in (create(ann, other, key), upload_media(ann, other, request_id=key)):
            assert (await refused(repeat)).reason == "IDEMPOTENCY_CONFLICT", change


async def test_uploading_for_another_owner_is_refused(ann: Caller) -> None:
    spec = Spec(owner=BOB)
    message = Write(spec=spec, data=DATA, finish=True)
    streamed = [Write(spec=spec, data=DATA), Write(offset=len(DATA), finish=True)]
    for call in (
        create(ann, spec),
        upload_media(ann, spec),
        ann.write([message]),
        ann.write(streamed),
        create(ann, Spec(owner=media_pb2.Owner(type="user", id="ann", organization_id="acme"))),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.PERMISSION_DENIED,
            "OWNER_NOT_ALLOWED",
        )
    requests = [Create(spec=spec), Create(spec=STATED)]
    request = upload_service_pb2.BatchCreateUploadsRequest(requests=requests)
    results = (await ann.call(ann.uploads.BatchCreateUploads, request)).results
    assert [result.WhichOneof("result") for result in results] == ["error", "upload"]


async def test_replacing_a_media_is_refused_without_revealing_whether_it_exists(
    ann: Caller, bob: Caller
) -> None:
    foreign = await bob.store(DATA)
    for media_id in (foreign.media_id, new_id()):
        for spec in (Spec(media_id=media_id), Spec(media_id=media_id, if_etag='"1"')):
            for call in (
                create(ann, spec),
                upload_media(ann, spec),
                ann.write([Write(spec=spec, data=DATA, finish=True)]),
            ):
                assert (await refused(call)).reason == "MEDIA_NOT_FOUND"
    assert (await refused(create(ann, Spec(if_etag='"1"')))).reason == "INVALID_FIELD"


@pytest.mark.parametrize(
    ("stated", "field"),
    [
        ({"title": "x" * 201}, "title"),
        ({"title": "a\0b"}, "title"),
        ({"description": "x" * 5001}, "description"),
        ({"description": "\0"}, "description"),
        ({"tags": ["a", "a"]}, "tags"),
        ({"tags": [""]}, "tags[0]"),
        ({"tags": ["\0"]}, "tags[0]"),
        ({"tags": [str(n) for n in range(101)]}, "tags"),
        ({"labels": {"A": "1"}}, "labels"),
        ({"labels": {"a": "\0"}}, "labels"),
        ({"labels": {f"a{n}": "" for n in range(65)}}, "labels"),
        ({"visibility": 9}, "visibility"),
        ({"project_id": "No Project"}, "project_id"),
        ({"capture_time": {"seconds": 2**60}}, "capture_time"),
        ({"expire_time": {"nanos": -1}}, "expire_time"),
        ({"owner": {"type": "user", "id": "\0"}}, "owner.id"),
        ({"max_size_bytes": 0}, "max_size_bytes"),
        ({"max_size_bytes": 1, "size_bytes": 2}, ""),
    ],
)
async def test_invalid_attributes_are_refused(
    ann: Caller, stated: dict[str, Any], field: str
) -> None:
    spec = Spec(**stated)
    for call in (
        create(ann, spec),
        upload_media(ann, spec),
        ann.write([Write(spec=spec, data=DATA, finish=True)]),
    ):
        refusal = await refused(call)
        assert refusal.reason == "INVALID_FIELD"
        assert [name.removeprefix("spec").removeprefix(".") for name in refusal.fields] == [field]


# The largest size


async def test_bytes_beyond_the_largest_size_are_refused(ann: Caller) -> None:
    limit = len(DATA) - 1
    spec = Spec(max_size_bytes=limit)
    session = (await create(ann, spec)).upload_id
    part = upload_pb2.Part(part_number=1, size_bytes=len(DATA), crc32c=1)
    sign = upload_service_pb2.SignUploadRequest(upload_id=session, parts=[part])
    for call in (
        ann.write([Write(spec=spec, data=DATA, finish=True)]),
        ann.write([Write(spec=spec, data=DATA[:9]), Write(offset=9, data=DATA[9:], finish=True)]),
        ann.write([Write(upload_id=session, data=DATA)]),
        put(ann, session, DATA),
        ann.call(ann.uploads.SignUpload, sign),
        upload_media(ann, spec),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "SIZE_EXCEEDED")
        assert refusal.metadata["max_size_bytes"] == str(limit)
        assert refusal.metadata["size_bytes"] == ""
    assert (await ann.get_upload(session)).spec.max_size_bytes == limit


async def test_parts_cannot_exceed_the_largest_size_together(ann: Caller) -> None:
    upload_id = (await create(ann, Spec(max_size_bytes=len(DATA) + 9))).upload_id
    await put(ann, upload_id, DATA)
    refusal = await refused(
        ann.write([Write(upload_id=upload_id, offset=len(DATA), data=bytes(10))])
    )
    assert refusal.reason == "SIZE_EXCEEDED"
    assert (await complete(ann, upload_id)).media.size_bytes == len(DATA)


async def test_a_file_of_the_largest_size_is_stored(ann: Caller) -> None:
    spec = Spec(max_size_bytes=len(DATA))
    assert (await upload_media(ann, spec)).size_bytes == len(DATA)
    upload_id = (await create(ann, spec)).upload_id
    await ann.write([Write(upload_id=upload_id, data=DATA, finish=True)])
    assert (await ann.get_upload(upload_id)).media.size_bytes == len(DATA)


# Lists


async def test_uploads_are_listed_by_project_and_owner(ann: Caller, bob: Caller) -> None:
    plain = (await create(ann, Spec())).upload_id
    inside = (await create(ann, Spec(project_id="p"))).upload_id
    again = (await create(ann, Spec(project_id="p"))).upload_id
    await create(bob, Spec(project_id="q"))

    async def listed(caller: Caller, **fields: Any) -> list[str]:
        request = upload_service_pb2.ListUploadsRequest(**fields)
        page = await caller.call(caller.uploads.ListUploads, request)
        return [upload.upload_id for upload in page.uploads]

    assert await listed(ann) == [again, inside, plain]
    assert await listed(ann, project_id="p") == [again, inside]
    assert await listed(ann, project_id="q") == []
    assert await listed(ann, owner=ANN) == [again, inside, plain]
    assert await listed(ann, owner=BOB) == []
    assert await listed(bob, owner=ANN, project_id="p") == []
    first = upload_service_pb2.ListUploadsRequest(project_id="p", page_size=1)
    token = (await ann.call(ann.uploads.ListUploads, first)).next_page_token
    assert await listed(ann, project_id="p", page_token=token) == [inside]
    for other in ({}, {"project_id": "q"}, {"project_id": "p", "owner": ANN}):
        refusal = await refused(listed(ann, page_token=token, **other))
        assert refusal.reason == "INVALID_PAGE_TOKEN"


# The client


@pytest.mark.parametrize("parallel", [1, 2])
async def test_the_client_sends_attributes(ann: Caller, parallel: int) -> None:
    async with AsyncClient(ann.address, token=ann.token) as client:
        media = await client.upload(
            DATA,
            filename="beach.jpg",
            title="Beach",
            description="Sand",
            tags=["sea", "sky"],
            labels={"album": "2026"},
            visibility=Media.PUBLIC,
            project_id="p",
            parallel=parallel,
        )
    assert (media.filename, media.title, media.description) == ("beach.jpg", "Beach", "Sand")
    assert (list(media.tags), dict(media.labels)) == (["sea", "sky"], {"album": "2026"})
    assert (media.visibility, media.project_id) == (Media.PUBLIC, "p")
