"""A project with a schema for the metadata of its media."""

import json
from pathlib import Path
from typing import Any

from google.protobuf.struct_pb2 import Struct
from mediaservice.v1 import access_service_pb2, media_pb2, upload_service_pb2

from tests.support.media.small_files import jpeg
from tests.support.rpc import batches
from tests.support.rpc.catalogue import get, update
from tests.support.rpc.commands import Run
from tests.support.rpc.copies import copy
from tests.support.rpc.duplicates import merge
from tests.support.rpc.policies import get_policy, set_policy
from tests.support.rpc.server import Caller, Running, refused
from tests.support.rpc.sharing import create_project
from tests.support.rpc.versions import replaced

SCHEMA = {
    "required": ["take"],
    "properties": {"take": {"type": "integer", "minimum": 1}},
    "additionalProperties": False,
}
NOT_ALLOWED = "METADATA_NOT_ALLOWED"


def struct(value: Any) -> Struct:
    made = Struct()
    made.update(value)
    return made


async def store(caller: Caller, project_id: str, metadata: Any) -> media_pb2.Media:
    message = upload_service_pb2.WriteUploadRequest(data=jpeg(), finish=True)
    message.spec.project_id = project_id
    message.spec.metadata.update(metadata)
    return (await caller.write([message])).media


async def transfer(caller: Caller, media_id: str, project_id: str) -> media_pb2.Media:
    request = access_service_pb2.TransferMediaRequest(media_id=media_id, project_id=project_id)
    return await caller.call(caller.access.TransferMedia, request)


async def set_metadata(caller: Caller, media_id: str, metadata: Any) -> media_pb2.Media:
    return await update(caller, ["metadata"], media_id=media_id, metadata=struct(metadata))


async def test_the_metadata_of_what_comes_into_a_project_follows_its_schema(
    service: Running, ann: Caller
) -> None:
    project = (await create_project(ann)).project_id
    before = await store(ann, project, {"old": True})
    outside = await store(ann, "", {"take": 0})
    await set_policy(ann, f"project:{project}", metadata_schema=struct(SCHEMA))
    shown = (await get_policy(ann, f"project:{project}")).policy
    assert shown.metadata_schema == struct(SCHEMA)

    refusal = await refused(store(ann, project, {"take": "one"}))
    assert (refusal.reason, refusal.fields) == (NOT_ALLOWED, ["metadata.take"])
    for metadata in ({}, {"take": 1, "more": 1}):
        refusal = await refused(ann.create(project_id=project, metadata=struct(metadata)))
        assert (refusal.reason, refusal.fields) == (NOT_ALLOWED, ["metadata"])
    media = await store(ann, project, {"take": 3})
    upload = await ann.create(project_id=project, metadata=struct({"take": 3}))
    async with service.database() as db:
        rows = await db.execute(
            "select policies from uploads where upload_id = %s", (upload.upload_id,)
        )
        assert await rows.fetchone() == ([{}],), "uploads do not keep the schema"
    await replaced(ann, media.media_id, jpeg(color="red"))

    refusal = await refused(set_metadata(ann, media.media_id, {"take": 0}))
    assert (refusal.reason, refusal.fields) == (NOT_ALLOWED, ["metadata.take"])
    assert (await set_metadata(ann, media.media_id, {"take": 4})).metadata["take"] == 4
    # What was there before stays as it is, until its metadata is changed.
    assert (await update(ann, ["title"], media_id=before.media_id, title="x")).title == "x"
    assert (await refused(set_metadata(ann, before.media_id, {}))).reason == NOT_ALLOWED

    for call in (
        transfer(ann, outside.media_id, project),
        copy(ann, outside.media_id, project_id=project),
        copy(ann, before.media_id),
        merge(ann, [media.media_id, before.media_id], media.media_id),
    ):
        assert (await refused(call)).reason == NOT_ALLOWED
    assert (await copy(ann, before.media_id, project_id="")).metadata["old"] is True
    await set_metadata(ann, outside.media_id, {"take": 9})
    assert (await transfer(ann, outside.media_id, project)).project_id == project


async def test_each_media_of_a_batch_follows_the_schema_of_its_project(ann: Caller) -> None:
    project = (await create_project(ann)).project_id
    await set_policy(ann, f"project:{project}", metadata_schema=struct(SCHEMA))
    inside = (await store(ann, project, {"take": 1})).media_id
    others = [(await store(ann, "", {"take": take})).media_id for take in (0, 2)]
    ids = [inside, *others]
    changed = await batches.update(
        ann, ["metadata"], {"metadata": struct({"take": 0.5})}, media_ids=ids
    )
    assert batches.reasons(changed) == [NOT_ALLOWED, "", ""]
    assert (await get(ann, inside)).metadata["take"] == 1
    await set_metadata(ann, others[1], {"take": 2})
    moved = await batches.move(ann, project, media_ids=others)
    assert batches.reasons(moved) == [NOT_ALLOWED, ""]


async def test_a_schema_outside_the_limits_is_refused(ann: Caller) -> None:
    resource = f"project:{(await create_project(ann)).project_id}"
    for schema in ({"$ref": "http://127.0.0.1/x"}, {"a": "x" * 100_000}, {"pattern": "("}):
        refusal = await refused(set_policy(ann, resource, metadata_schema=struct(schema)))
        assert (refusal.reason, refusal.fields) == ("INVALID_FIELD", ["policy.metadata_schema"])
    infinite = struct({"minimum": float("inf")})
    refusal = await refused(set_policy(ann, resource, metadata_schema=infinite))
    assert refusal.fields == ["policy.metadata_schema"]


async def test_the_command_reads_a_schema_from_a_file(
    service: Running, ann: Caller, tmp_path: Path
) -> None:
    run = Run(service, tmp_path)
    resource = f"project:{(await create_project(ann)).project_id}"
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA))
    await run("ann", "policy", "set", resource, "--metadata-schema", str(file))
    assert (await get_policy(ann, resource)).policy.metadata_schema == struct(SCHEMA)
    file.write_text("[]")
    result = await run.result("ann", "policy", "set", resource, "--metadata-schema", str(file))
    assert (result.exit_code, "--metadata-schema" in result.stderr) == (2, True)
