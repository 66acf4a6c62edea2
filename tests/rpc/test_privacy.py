"""Erasing a person leaves nothing that names them, and exporting a person shows all of it."""

import asyncio
import json
from datetime import timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from mediaservice.v1 import (
    download_service_pb2,
    media_service_pb2,
    privacy_service_pb2,
    processing_service_pb2,
    watch_service_pb2,
    watch_service_pb2_grpc,
)

from media_service.access.owner import Owner
from media_service.access.principal import Principal
from media_service.access.report_signer import is_signed
from media_service.audit.digests import verify
from media_service.batches.actions import Action, Move, Tag
from media_service.batches.queries import jobs as batch_jobs
from media_service.cli.main import cli
from media_service.db.database import Database
from media_service.db.new_job import NewJob
from media_service.downloads.periodic_tasks import remove_erased_signers
from media_service.ids import new_id
from media_service.jobs.model import JobKind
from media_service.quotas.model import Measure
from tests.support.media.small_files import jpeg, png
from tests.support.rpc.credentials import account, api_key
from tests.support.rpc.links import link, somebody
from tests.support.rpc.quotas import set_quota
from tests.support.rpc.server import Caller, Running, refused, token
from tests.support.rpc.share_links import media_of, open_link, share, visitor
from tests.support.rpc.sharing import (
    add_member,
    create_group,
    create_organization,
    create_project,
    grant,
    make_administrator,
    store_in,
)
from tests.support.rpc.tables import tables_with
from tests.support.rpc.versions import replaced
from tests.support.tools import eventually_async

# Occurs in no other value.
ANN = "ann-7f3e"
ERASURE = privacy_service_pb2.Erasure
YEAR = timedelta(days=365)


async def erase(admin: Caller, user: str) -> privacy_service_pb2.Erasure:
    request = privacy_service_pb2.EraseUserRequest(user_id=user)
    return await admin.call(admin.privacy.EraseUser, request)


async def erasure(admin: Caller, erasure_id: str) -> privacy_service_pb2.Erasure:
    request = privacy_service_pb2.GetErasureRequest(erasure_id=erasure_id)
    return await admin.call(admin.privacy.GetErasure, request)


async def export(caller: Caller, user: str = "") -> list[dict[str, Any]]:
    request = privacy_service_pb2.ExportUserRequest(user_id=user)
    call = caller.privacy.ExportUser(request, metadata=caller.metadata)
    content = b"".join([piece.data async for piece in call])
    return [json.loads(line) for line in content.splitlines()]


async def pass_time(service: Running) -> None:
    """As if eleven minutes had passed."""
    async with service.database() as db:
        await db.execute("update erasures set create_time = create_time - interval '11 minutes'")
        await db.execute("update jobs set run_time = now() where state = 'QUEUED'")


async def plant_batch(service: Running, action: Action[Any], principal: Principal) -> None:
    """A batch whose job has ended."""
    async with Database(service.database_url, 1) as database, database.transaction() as tx:
        job = NewJob(JobKind.BATCH, new_id(), principal.owner, actor=principal.owner, done=True)
        await tx.enqueue(job)
        await batch_jobs.insert(tx, job.job_id, principal, "rating=1", action, 1)


async def ended(service: Running, admin: Caller, erasure_id: str) -> privacy_service_pb2.Erasure:
    async def look() -> privacy_service_pb2.Erasure | None:
        found = await erasure(admin, erasure_id)
        if found.state == ERASURE.ENDED:
            return found
        await pass_time(service)
        return None

    return await eventually_async(look, 60)


async def test_an_erased_user_leaves_nothing_that_names_them(
    working: Running, tmp_path: Path
) -> None:
    await make_administrator(working, "root")
    root, bob = await working.caller("root"), await working.caller("bob")
    ann = await working.caller(ANN)
    await create_organization(root, "acme")
    await grant(root, "organization:acme", f"user:{ANN}", "EDITOR")
    group = (await create_group(root, "acme")).group_id
    await add_member(root, group, f"user:{ANN}")
    own, theirs = (await create_project(ann)).project_id, (await create_project(bob)).project_id
    await grant(bob, f"project:{theirs}", f"user:{ANN}", "EDITOR")
    await grant(ann, f"project:{own}", "user:bob", "EDITOR")
    await create_project(ann, "Empty")
    # Theirs, a deleted one, in their project, in that of others, and of others in their project.
    media = await ann.store(jpeg(), "a.jpg")
    await replaced(ann, media.media_id, png(), filename="again.jpg")
    deleted = await ann.store(jpeg(), "b.jpg")
    await ann.call(
        ann.media.DeleteMedia, media_service_pb2.DeleteMediaRequest(media_id=deleted.media_id)
    )
    in_own = await store_in(ann, own, jpeg())
    kept = await store_in(ann, theirs, jpeg())
    of_bob = await store_in(bob, own, jpeg())
    await ann.create(filename="unfinished.jpg", size_bytes=10)
    robot = await account(ann)
    key = await api_key(ann, robot)
    of_robot = await (await working.bearer(key.key)).store(jpeg(), "c.jpg")
    await grant(ann, f"media:{media.media_id}", "user:bob")
    await grant(ann, f"owner:/user:{ANN}", "user:bob", "EDITOR")
    await grant(ann, f"media:{in_own.media_id}", "user:cat")
    await set_quota(root, f"owner:/user:{ANN}", MEDIA=100)
    job = processing_service_pb2.ProcessMediaRequest(media_id=kept.media_id, ops="resize:8x")
    await ann.call(ann.processing.ProcessMedia, job)
    # Batches of theirs, and of others that give them media.
    await plant_batch(working, Tag(["x"]), Principal(ANN))
    await plant_batch(working, Move(Owner("user", ANN), None), Principal("bob"))
    watches = watch_service_pb2_grpc.WatchServiceStub(ann.channel)
    open_upload = (await ann.create(filename="watched.jpg", size_bytes=10)).upload_id
    ticket = watch_service_pb2.CreateWatchTicketRequest(upload_id=open_upload)
    await ann.call(watches.CreateWatchTicket, ticket)
    # Everybody may read one of them, so only its revocation ends its URL.
    await grant(bob, f"media:{of_bob.media_id}", "everybody", "VIEWER")
    urls = [await link(ann, each.media_id) for each in (media, kept, of_bob)]
    shared = await share(ann, f"project:{own}")
    assert await media_of(await visitor(working, shared.secret))
    revocation = download_service_pb2.RevokeSignedUrlsRequest(signer="me")
    await ann.call(ann.downloads.RevokeSignedUrls, revocation)
    urls += [await link(ann, each.media_id) for each in (media, kept)]

    named = await tables_with(working, ANN, robot)
    exported = await export(ann)
    environ = {"MEDIA_ADDRESS": working.address, "MEDIA_TOKEN": token(ANN)}
    command = CliRunner(env=environ).invoke
    written = await asyncio.to_thread(command, cli, ["export-user"])
    assert {json.loads(line)["type"] for line in written.stdout.splitlines()} >= {"media", "jobs"}
    assert {line["type"] for line in exported} >= named - {"audit_entries"}
    assert "secret_hash" not in json.dumps(exported)
    (of_media,) = [
        line["data"]
        for line in exported
        if line["type"] == "media" and line["data"]["media_id"] == media.media_id
    ]
    assert [each["filename"] for each in of_media["versions"]] == ["", "again.jpg"]
    refusal = await refused(erase(ann, ANN))
    assert refusal.reason == "RESOURCE_NOT_FOUND"

    begun = await erase(root, ANN)
    assert (await erase(root, ANN)).erasure_id == begun.erasure_id
    end = await ended(working, root, begun.erasure_id)
    assert await tables_with(working, ANN) == set()
    assert await tables_with(working, robot) == {"audit_entries"}, "a random id, of nobody now"
    rows = {(each.table, ERASURE.Rows.Fate.Name(each.fate)): each.row_count for each in end.rows}
    assert rows["media", "REMOVED"] == 4, "theirs, deleted, in their project, of their robot"
    assert rows["media", "PSEUDONYMIZED"] == 1, "in the project of bob"
    assert rows["uploads", "REMOVED"] == 2
    assert rows["projects", "REMOVED"] == 1
    assert rows["projects", "PSEUDONYMIZED"] == 1
    assert rows["service_accounts", "REMOVED"] == 1
    assert rows["api_keys", "REMOVED"] == 1
    assert rows["share_links", "REMOVED"] == rows["signed_url_keys", "PSEUDONYMIZED"] == 1
    assert rows["quotas", "REMOVED"] == len(Measure)
    assert rows["batches", "REMOVED"] == 2
    for gone in (media, deleted, in_own, of_robot):
        request = media_service_pb2.GetMediaRequest(media_id=gone.media_id)
        assert (await refused(root.call(root.media.GetMedia, request))).reason == "MEDIA_NOT_FOUND"
    stays = media_service_pb2.GetMediaRequest(media_id=kept.media_id)
    assert (await bob.call(bob.media.GetMedia, stays)).owner.id == end.pseudonym
    assert await bob.content(of_bob.media_id) == jpeg()
    async with somebody(working) as anybody:
        for url in urls:
            assert (await refused(anybody.read(url))).reason == "LINK_INVALID"
    assert (await refused(open_link(working, shared.secret))).reason == "SHARE_LINK_NOT_FOUND"
    robot_again = await working.bearer(key.key)
    listing = robot_again.call(robot_again.media.ListMedia, media_service_pb2.ListMediaRequest())
    assert (await refused(listing)).reason == "TOKEN_INVALID"

    # The report.
    run = partial(CliRunner(env={"MEDIA_ADDRESS": working.address}).invoke, cli)
    shown = await asyncio.to_thread(
        run, ["erase", "show", end.erasure_id, "--token", token("root")]
    )
    assert shown.exit_code == 0, shown.output
    file = tmp_path / "report.json"
    file.write_text(shown.stdout)
    good = run(["erase", "verify", str(file)])
    assert good.exit_code == 0, good.output
    assert json.loads(good.stdout)["rows"]["media"] == {"pseudonymized": 1, "removed": 4}
    assert "not trusted by itself" in good.stderr
    public_key = json.loads(shown.stdout)["publicKey"]
    trusted = run(["erase", "verify", str(file), "--key", public_key])
    assert trusted.exit_code == 0
    assert "not trusted" not in trusted.stderr
    file.write_text(shown.stdout.replace('\\"removed\\":4', '\\"removed\\":5'))
    assert "signature" in run(["erase", "verify", str(file)]).stderr
    assert "another key" in run(["erase", "verify", str(file), "--key", "AAAA"]).stderr
    # The service does not sign what somebody writes into the database later.
    async with working.database() as db:
        await db.execute("update erasures set report = replace(report, 'removed', 'kept')")
    changed = await erasure(root, end.erasure_id)
    assert "kept" in changed.report
    assert changed.signature == end.signature
    assert not is_signed(changed.report, changed.signature, changed.public_key)
    # Nor what somebody wrote before it was first read: the audit log has the digest of the report.
    assert sha256(end.report.encode()).digest() == end.report_digest
    async with working.database() as db:
        await db.execute("update erasures set signature = '', public_key = ''")
    unsigned = await erasure(root, end.erasure_id)
    assert (unsigned.report, unsigned.report_digest) == (changed.report, end.report_digest)
    assert unsigned.signature == unsigned.public_key == b""
    shown = await asyncio.to_thread(
        run, ["erase", "show", end.erasure_id, "--token", token("root")]
    )
    assert (shown.exit_code, "not the one in the audit log" in shown.stderr) == (1, True)
    verified = partial(run, ["audit", "verify"], env={"MEDIA_DATABASE_URL": working.database_url})
    assert f"the erasure {end.erasure_id} was changed" in (await asyncio.to_thread(verified)).stderr
    async with working.database() as db:
        await db.execute("update erasures set report = %s", (end.report,))
    assert (await asyncio.to_thread(verified)).exit_code == 0
    assert (await erasure(root, end.erasure_id)).signature == end.signature
    async with Database(working.database_url, 1) as database:
        assert not (await verify(database, YEAR, None)).broken
        assert [removed async for removed in remove_erased_signers(database)] == [0]
        async with database.connection() as db:
            await db.execute("update signed_url_keys set expire_time = now() - interval '1 second'")
        assert [removed async for removed in remove_erased_signers(database)] == [1]


async def test_only_administrators_export_others(service: Running) -> None:
    await make_administrator(service, "root")
    ann, root = await service.caller("ann"), await service.caller("root")
    media = await ann.store(jpeg())
    bob = await service.caller("bob")
    await bob.store(jpeg())
    (found,) = [line for line in await export(root, "ann") if line["type"] == "media"]
    assert found["data"]["media_id"] == media.media_id
    assert "bob" not in json.dumps(await export(ann))
    assert (await refused(export(bob, "ann"))).reason == "RESOURCE_NOT_FOUND"
    # The claim narrows a token to one organization, but an export has all of them.
    narrowed = await service.caller("ann", org="globex")
    for user in ("", "ann"):
        refusal = await refused(export(narrowed, user))
        assert (refusal.reason, refusal.metadata) == (
            "ORGANIZATION_CLAIM_NOT_ALLOWED",
            {"organization_id": "globex"},
        )
    # An export reveals nothing about media that the caller may not see.
    project = (await create_project(ann)).project_id
    hidden = (await store_in(ann, project, jpeg())).media_id
    wanted = media_service_pb2.GetMediaRequest(media_id=hidden)
    assert (await refused(bob.call(bob.media.GetMedia, wanted))).reason == "MEDIA_NOT_FOUND"

    async def denials() -> list[dict[str, Any]]:
        lines = [line["data"] for line in await export(bob) if line["type"] == "audit_entries"]
        return [data for data in lines if data["media_id"] == hidden]

    (denial,) = await eventually_async(denials)
    assert (denial["org_id"], denial["project_id"], denial["version"]) == ("", "", 0)
    refusal = await refused(erasure(root, media.media_id))
    assert (refusal.reason, refusal.metadata) == (
        "ERASURE_NOT_FOUND",
        {"erasure_id": media.media_id},
    )
