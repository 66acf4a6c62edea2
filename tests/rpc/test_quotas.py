"""Quotas limit what accounts store, regardless of the uploader."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from mediaservice.v1 import (
    access_service_pb2,
    media_pb2,
    quota_service_pb2,
    upload_pb2,
    upload_service_pb2,
)

from media_service.db.database import Database
from media_service.db.new_job import NewJob
from media_service.db.transaction import Connection
from media_service.errors import FailedPrecondition, Fault, Reason
from media_service.jobs.model import Claim, JobKind, JobState
from media_service.jobs.queries import changing, claimed_jobs
from media_service.quotas import queries
from media_service.quotas.model import Measure
from media_service.quotas.periodic_tasks import log_soft_limits, recalculate_quotas
from media_service.sharing.resources import parse_resource
from media_service.uploads.periodic_tasks import expire_uploads
from tests.support.batches import changed_by
from tests.support.job_claims import claim
from tests.support.killable_renditions import ANN as ANN_PRINCIPAL
from tests.support.killable_renditions import RenditionHarness
from tests.support.media.pdf_files import Page, pdf, text
from tests.support.media.small_files import jpeg
from tests.support.renders import find, keep, render_spec
from tests.support.rpc.catalogue import delete, delete_rendition, get, purge, until_done
from tests.support.rpc.jobs import (
    Job,
    Request,
    batch,
    ended,
    error_info,
    listed,
    process,
    reason,
    reprocess,
    retry,
)
from tests.support.rpc.quotas import get_quota, ledger, set_quota, usage
from tests.support.rpc.server import Caller, Running, Start, refused
from tests.support.rpc.server import refusal as refusal_of
from tests.support.rpc.sharing import (
    create_organization,
    create_project,
    grant,
    make_administrator,
    store_in,
)

Limits = dict[str, int]

ANN = "owner:/user:ann"
SIZE = len(jpeg())


@pytest.fixture
async def admin(service: Running) -> Caller:
    await make_administrator(service, "root")
    return await service.caller("root")


async def abort(caller: Caller, upload_id: str) -> None:
    request = upload_service_pb2.AbortUploadRequest(upload_id=upload_id)
    await caller.call(caller.uploads.AbortUpload, request)


async def succeeded(calls: list[Awaitable[Any]]) -> list[Any]:
    """The results of concurrent calls. All others must be refused by a quota."""
    results = []
    for result in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(result, BaseException):
            assert isinstance(result, grpc.RpcError), result
            assert "QUOTA_EXCEEDED" in str(rpc_status.from_call(result)), result
        else:
            results.append(result)
    return results


async def test_a_quota_limits_bytes_media_and_single_files(ann: Caller, admin: Caller) -> None:
    await set_quota(admin, ANN, BYTES=2 * SIZE, FILE_BYTES=2 * SIZE - 1)
    await ann.store(jpeg())
    found = await usage(admin, ANN)
    assert (found["BYTES"], found["MEDIA"], found["FILE_BYTES"]) == ((0, SIZE), (0, 1), (0, 0))
    refusal = await refused(ann.create(size_bytes=SIZE + 1))
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "QUOTA_EXCEEDED",
    )
    assert refusal.metadata == {
        "account": ANN,
        "measure": "BYTES",
        "limit": str(2 * SIZE),
        "used": str(SIZE),
        "wanted": str(SIZE + 1),
        "reset_time": "",
    }
    assert (await refused(ann.create(size_bytes=2 * SIZE))).metadata["measure"] == "BYTES"
    upload = await ann.create(size_bytes=SIZE)
    assert (await usage(admin, ANN))["BYTES"] == (SIZE, SIZE)
    assert (await refused(ann.store(jpeg()))).reason == "QUOTA_EXCEEDED"
    await abort(ann, upload.upload_id)
    second = await ann.store(jpeg())
    await delete(ann, second.media_id)
    assert (await usage(admin, ANN))["BYTES"] == (0, 2 * SIZE), "deleted, but not purged"
    await purge(ann, second.media_id)
    assert (await usage(admin, ANN))["BYTES"] == (0, SIZE)
    await set_quota(admin, ANN, MEDIA=1)
    assert (await refused(ann.store(jpeg()))).metadata["measure"] == "MEDIA"
    await set_quota(admin, ANN, FILE_BYTES=SIZE - 1)
    assert (await refused(ann.store(jpeg()))).metadata["measure"] == "FILE_BYTES"
    assert (await refused(ann.create(size_bytes=SIZE))).metadata["measure"] == "FILE_BYTES"
    await set_quota(admin, ANN)
    await ann.store(jpeg())
    assert (await usage(admin, ANN))["MEDIA"] == (0, 2)


async def test_a_refusal_says_what_is_used_and_what_the_limit_is(
    ann: Caller, admin: Caller
) -> None:
    await set_quota(admin, ANN, BYTES=10)
    with pytest.raises(grpc.RpcError) as caught:
        await ann.create(size_bytes=11)
    failure = error_details_pb2.QuotaFailure()
    details = rpc_status.from_call(caught.value).details
    assert any(detail.Unpack(failure) for detail in details)
    assert [(found.subject, found.description) for found in failure.violations] == [
        (ANN, "BYTES: 0 of 10 used, 11 more requested")
    ]


async def test_of_200_concurrent_uploads_exactly_as_many_are_admitted_as_fit(
    service: Running, ann: Caller, admin: Caller
) -> None:
    await set_quota(admin, ANN, BYTES=100 * SIZE)
    request = upload_service_pb2.CreateUploadRequest(spec=upload_pb2.UploadSpec(size_bytes=SIZE))

    async def store() -> None:
        stream = upload_service_pb2.WriteUploadRequest(data=jpeg(), finish=True)
        stream.spec.filename = "a.jpg"
        while True:
            try:
                await ann.uploads.WriteUpload(iter([stream]), metadata=ann.metadata)
            except grpc.RpcError as error:
                if "SERVER_BUSY" not in str(rpc_status.from_call(error)):
                    raise
                await asyncio.sleep(0.2)  # as the client does
            else:
                return

    calls: list[Awaitable[Any]] = [store() for _ in range(100)]
    calls += [ann.call(ann.uploads.CreateUpload, request) for _ in range(100)]
    assert len(await succeeded(calls)) == 100
    found = await usage(admin, ANN)
    assert sum(found["BYTES"]) == 100 * SIZE
    assert sum(found["MEDIA"]) == 100


async def test_a_batch_is_admitted_as_far_as_it_fits(ann: Caller, admin: Caller) -> None:
    await set_quota(admin, ANN, BYTES=25)
    request = upload_service_pb2.BatchCreateUploadsRequest(
        requests=[
            upload_service_pb2.CreateUploadRequest(spec=upload_pb2.UploadSpec(size_bytes=10))
            for _ in range(3)
        ]
    )
    results = (await ann.call(ann.uploads.BatchCreateUploads, request)).results
    assert [result.WhichOneof("result") for result in results] == ["upload", "upload", "error"]
    assert (await usage(admin, ANN))["BYTES"] == (20, 0)
    request.atomic = True
    assert (await refused(ann.call(ann.uploads.BatchCreateUploads, request))).reason == (
        "QUOTA_EXCEEDED"
    )
    assert (await usage(admin, ANN))["BYTES"] == (20, 0)


async def test_a_project_and_its_organization_pay_not_the_uploader(
    service: Running, ann: Caller, bob: Caller, admin: Caller
) -> None:
    await create_organization(admin, "acme")
    for user, role in (("ann", "MANAGER"), ("bob", "ROLE_UNSPECIFIED")):
        await grant(admin, "organization:acme", f"user:{user}", role)
    project = f"project:{(await create_project(ann, organization_id='acme')).project_id}"
    await grant(ann, project, "user:bob", "EDITOR")
    await set_quota(ann, project, BYTES=3 * SIZE)
    assert (await refused(set_quota(ann, "organization:acme", BYTES=1))).reason == "ROLE_REQUIRED"
    assert (await refused(set_quota(bob, project, BYTES=1))).reason == "ROLE_REQUIRED"
    await set_quota(admin, "organization:acme", BYTES=2 * SIZE)
    await set_quota(admin, "owner:/user:bob", BYTES=0)
    for _ in range(2):
        await store_in(bob, project.removeprefix("project:"), jpeg())
    for account in (project, "organization:acme"):
        assert (await usage(admin, account))["BYTES"] == (0, 2 * SIZE)
    refusal = await refused(store_in(bob, project.removeprefix("project:"), jpeg()))
    assert refusal.metadata["account"] == "organization:acme"
    assert (await refused(bob.store(jpeg()))).metadata["account"] == "owner:/user:bob"


async def test_an_upload_of_unknown_size_reserves_in_steps(ann: Caller, admin: Caller) -> None:
    step = 8 << 20
    await set_quota(admin, ANN, BYTES=2 * step)
    upload = await ann.create()
    assert (await usage(admin, ANN))["BYTES"] == (step, 0)
    small = await ann.create(max_size_bytes=100)
    assert (await usage(admin, ANN))["BYTES"] == (step + 100, 0)

    async def append_up_to(size: int) -> None:
        done = (await ann.get_upload(upload.upload_id)).committed_size_bytes
        pieces = [
            upload_service_pb2.WriteUploadRequest(offset=offset, data=bytes(1 << 20))
            for offset in range(done, size, 1 << 20)
        ]
        if not done:
            pieces[0].data = jpeg() + bytes((1 << 20) - SIZE)
        pieces[0].upload_id = upload.upload_id
        await ann.write(pieces)

    assert (await refused(append_up_to(step))).reason == "QUOTA_EXCEEDED"
    assert (await usage(admin, ANN))["BYTES"] == (step + 100, 0)
    await abort(ann, small.upload_id)
    await append_up_to(step)
    assert (await usage(admin, ANN))["BYTES"] == (2 * step, 0)
    await abort(ann, upload.upload_id)
    assert (await usage(admin, ANN))["BYTES"] == (0, 0)


async def test_the_usage_of_an_account_without_a_quota_is_counted(ann: Caller, bob: Caller) -> None:
    await ann.store(jpeg())
    quota = await get_quota(ann, ANN)
    assert [entry.used for entry in quota.entries] == [SIZE, 1, 0, 0, 0, 0]
    assert not quota.entries[0].limit.HasField("limit")
    assert (await refused(get_quota(bob, ANN))).reason == "RESOURCE_NOT_FOUND"


async def test_uploads_go_on_while_a_new_quota_is_counted(
    ann: Caller, admin: Caller, service: Running
) -> None:
    await ann.store(jpeg())
    waiting = (
        "select from pg_locks l join pg_stat_activity a using (pid)"
        " where not granted and datname = current_database()"
    )
    async with service.database() as db, db.transaction():
        # Whoever counts segments waits.
        await db.execute("lock table stream_segments in access exclusive mode")
        async with service.database() as other, asyncio.TaskGroup() as tasks:
            for limit in (5, 6):
                tasks.create_task(set_quota(admin, ANN, MEDIA=limit))
            while (await other.execute(waiting)).rowcount < 2:
                await asyncio.sleep(0.01)
            await ann.store(jpeg())
            await ann.create(size_bytes=7)
            await db.execute("commit")
    found = await usage(admin, ANN)
    assert (found["MEDIA"], found["BYTES"]) == ((1, 2), (7, 2 * SIZE))
    (entry,) = [e for e in (await get_quota(ann, ANN)).entries if e.used == 2]
    assert entry.limit.limit in {5, 6}


async def test_a_quota_without_limits_is_one_whose_process_died(
    ann: Caller, admin: Caller, database: Database
) -> None:
    """Before it had counted."""
    await ann.store(jpeg())
    async with database.transaction() as tx:
        await queries.begin(tx, parse_resource(ANN))
    assert (await ledger(ann, ANN))["MEDIA"] == (0, 1)
    async with database.transaction() as tx:
        await tx.execute("update quotas set count_time = now() - interval '2 days'")
    assert await changed_by(recalculate_quotas(database)) == 1
    async with database.connection() as db:
        assert not await queries.entries(db, parse_resource(ANN))
        async with database.transaction() as tx:
            await queries.begin(tx, parse_resource(ANN))
    await set_quota(admin, ANN, MEDIA=1)
    assert (await usage(admin, ANN))["MEDIA"] == (0, 1)
    assert (await refused(ann.create(size_bytes=1))).reason == "QUOTA_EXCEEDED"


async def test_two_versions_share_a_ledger_although_one_knows_more_measures(
    ann: Caller, admin: Caller, service: Running, database: Database
) -> None:
    await set_quota(admin, ANN, BYTES=100)
    async with service.database() as db:
        # The previous version has set the quota, and the next one has counted what it knows.
        await db.execute("delete from quotas where measure = 'MEDIA'")
        await db.execute("alter table quotas drop constraint quotas_measure_check")
        await db.execute(
            "insert into quotas (account, measure, soft_limit, used, soft_exceed_time)"
            " values (%s, 'NEXT', 1, 2, now())",
            (ANN,),
        )
    known = {str(measure) for measure in Measure}
    assert set(await usage(admin, ANN)) == known
    assert await changed_by(log_soft_limits(database)) == 0
    await ann.create(size_bytes=1)
    assert (await usage(admin, ANN))["MEDIA"] == (1, 0), "recalculating has added it to the ledger"


async def test_exceeding_a_soft_limit_is_recorded_and_logged_once_each_time(
    service: Running,
    database: Database,
    ann: Caller,
    admin: Caller,
    caplog: pytest.LogCaptureFixture,
) -> None:
    project_id = (await create_project(ann)).project_id
    for account in (ANN, f"project:{project_id}"):
        request = quota_service_pb2.SetQuotaRequest(account=account)
        request.limits.add(
            measure=quota_service_pb2.QuotaMeasure.BYTES, soft_limit=SIZE, limit=3 * SIZE
        )
        await admin.call(admin.quotas.SetQuota, request)

    async def recorded() -> list[Any]:
        async with service.database() as db:
            rows = await db.execute(
                "select e.resource_id, e.project_id, e.details, p.person_id::text"
                " from audit_entries e, audit_people p where p.id = 'ann' and p.type = 'user'"
                " and e.action = 'quotas.exceed_soft_limit' order by e.time, e.resource_id"
            )
            return await rows.fetchall()

    await ann.store(jpeg())
    assert (await refused(ann.create(size_bytes=3 * SIZE))).reason == "QUOTA_EXCEEDED"
    assert not (await get_quota(ann, ANN)).entries[0].HasField("soft_exceed_time")
    assert await recorded() == []
    last = await ann.store(jpeg())
    assert (await get_quota(ann, ANN)).entries[0].HasField("soft_exceed_time")
    upload = await ann.create(size_bytes=1)
    await abort(ann, upload.upload_id)
    ((resource, _, details, person),) = await recorded()
    assert resource == f"owner:/user:{person}"
    assert json.loads(details) == {
        "measure": "BYTES",
        "soft_limit": str(SIZE),
        "used": str(2 * SIZE),
    }
    assert await changed_by(log_soft_limits(database)) == 1
    assert await changed_by(log_soft_limits(database)) == 0
    assert f"the soft limit of BYTES of {ANN} is exceeded: {2 * SIZE} of {SIZE}" in caplog.text

    await delete(ann, last.media_id)
    await purge(ann, last.media_id)
    upload = await ann.create(size_bytes=SIZE + 1, project_id=project_id)
    (_, again, of_project) = await recorded()
    assert again[0] == resource
    assert of_project[:2] == (f"project:{project_id}", project_id)
    assert await changed_by(log_soft_limits(database)) == 2


class Model:
    """Calls of a user, and what they must leave: open uploads with what they reserve, media with
    their sizes, those that are in the project, and the sizes of renditions and cached renders."""

    def __init__(
        self, service: Running, database: Database, user: Caller, project_id: str, limits: Limits
    ) -> None:
        self._service = service
        self._harness = RenditionHarness(database)
        self._user = user
        self._project_id = project_id
        self._limits = limits
        self.uploads: dict[str, int] = {}
        self.media: dict[str, int] = {}
        self.inside: set[str] = set()
        self.renditions: dict[tuple[str, str], int] = {}
        self.renders: dict[tuple[str, str], int] = {}

    def ledger(self, *, inside: bool) -> dict[str, tuple[int, int]]:
        """What is reserved and used of each measure, by the project or by all."""
        media = {id_: size for id_, size in self.media.items() if not inside or id_ in self.inside}
        uploads = {} if inside else self.uploads
        renditions = [size for (id_, _), size in self.renditions.items() if id_ in media]
        return {
            "BYTES": (sum(uploads.values()), sum(media.values())),
            "MEDIA": (len(uploads), len(media)),
            "RENDITION_BYTES": (0, sum(renditions)),
            "CACHE_BYTES": (0, sum(n for (id_, _), n in self.renders.items() if id_ in media)),
        }

    def _fits(self, size: int) -> bool:
        now = self.ledger(inside=False)
        wanted = {"BYTES": size, "MEDIA": 1}
        return all(sum(now[name]) + more <= self._limits[name] for name, more in wanted.items())

    async def create(self, size: int = SIZE) -> None:
        call = self._user.create(size_bytes=size)
        if self._fits(size):
            self.uploads[(await call).upload_id] = size
        else:
            assert (await refused(call)).reason == "QUOTA_EXCEEDED"

    async def create_large(self) -> None:
        await self.create(7 * SIZE)

    async def store(self) -> None:
        call = self._user.store(jpeg())
        if self._fits(SIZE):
            self.media[(await call).media_id] = SIZE
        else:
            assert (await refused(call)).reason == "QUOTA_EXCEEDED"

    async def finish(self) -> None:
        if upload_id := self._small():
            stored = await self._user.write(whole(upload_id, jpeg()))
            self.media[stored.media.media_id] = SIZE

    async def fail(self) -> None:
        if upload_id := self._small():
            refusal = await refused(self._user.write(whole(upload_id, bytes(SIZE))))
            assert refusal.reason == "TYPE_NOT_ALLOWED"

    async def abort(self) -> None:
        if self.uploads:
            await abort(self._user, self.uploads.popitem()[0])

    async def expire(self) -> None:
        if self.uploads:
            ended = self.uploads.popitem()[0]
            async with self._service.database() as db:
                await db.execute(
                    "update uploads set expire_time = now() where upload_id = %s", (ended,)
                )
            async with Database(self._service.database_url, 1) as database:
                assert await changed_by(expire_uploads(database)) == 1

    async def purge(self) -> None:
        if self.media:
            media_id = self.media.popitem()[0]
            await delete(self._user, media_id)
            await purge(self._user, media_id)
            self.inside.discard(media_id)
            self.renditions = {key: n for key, n in self.renditions.items() if key[0] != media_id}
            self.renders = {key: n for key, n in self.renders.items() if key[0] != media_id}

    async def render(self, size: int, name: str = "a") -> None:
        """Adds a rendition to the last media, or replaces the one with this name."""
        if self.media:
            key = (list(self.media)[-1], name)
            more = size - self.renditions.get(key, 0)
            used = sum(self.renditions.values())
            adding = self._harness.add(*key, bytes(size))
            if more > 0 and used + more > self._limits["RENDITION_BYTES"]:
                with pytest.raises(FailedPrecondition, match="RENDITION_BYTES"):
                    await adding
            else:
                await adding
                self.renditions[key] = size

    async def render_small(self) -> None:
        await self.render(30)

    async def render_large(self) -> None:
        await self.render(70)

    async def render_another(self) -> None:
        await self.render(40, "b")

    async def cache(self, ops: str = "resize:20x", size: int = 50) -> None:
        """Adds a render of the last media to the cache, or replaces the same one."""
        if self.media:
            key = (list(self.media)[-1], ops)
            await keep(self._harness, await render_spec(self._harness, *key), bytes(size))
            self.renders[key] = size

    async def cache_another(self) -> None:
        await self.cache("resize:10x", 40)

    async def delete_rendition(self) -> None:
        if self.renditions:
            await delete_rendition(self._user, *self.renditions.popitem()[0])

    async def move(self) -> None:
        """Moves the last media into the project, or out of it."""
        if self.media:
            media_id = list(self.media)[-1]
            self.inside ^= {media_id}
            request = access_service_pb2.TransferMediaRequest(media_id=media_id)
            request.project_id = self._project_id if media_id in self.inside else ""
            await self._user.call(self._user.access.TransferMedia, request)

    def _small(self) -> str | None:
        found = next((name for name, size in self.uploads.items() if size == SIZE), None)
        if found:
            del self.uploads[found]
        return found


def whole(upload_id: str, data: bytes) -> list[upload_service_pb2.WriteUploadRequest]:
    return [upload_service_pb2.WriteUploadRequest(upload_id=upload_id, data=data, finish=True)]


@pytest.mark.parametrize("seed", [1, 2])
async def test_after_any_calls_the_ledger_is_what_a_model_says(
    service: Running, database: Database, ann: Caller, admin: Caller, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    limits = {"BYTES": 20 * SIZE, "MEDIA": 9, "RENDITION_BYTES": 150}
    await set_quota(admin, ANN, **limits)
    project_id = (await create_project(ann)).project_id
    await set_quota(admin, f"project:{project_id}", MEDIA=9)
    model = Model(service, database, ann, project_id, limits)
    calls = [
        *(model.create, model.create, model.create_large, model.store, model.store, model.finish),
        *(model.fail, model.abort, model.expire, model.purge, model.move),
        *(model.render_small, model.render_large, model.render_another, model.delete_rendition),
        *(model.cache, model.cache_another),
    ]
    for _ in range(30):
        await chance.choice(calls)()
        for account, inside in ((ANN, False), (f"project:{project_id}", True)):
            found = await ledger(admin, account)
            expected = model.ledger(inside=inside)
            assert {measure: found[measure] for measure in expected} == expected
    await usage(admin, ANN)
    await usage(admin, f"project:{project_id}")


async def test_a_recalculation_corrects_the_ledger_and_says_what_differed(
    service: Running, ann: Caller, admin: Caller
) -> None:
    await set_quota(admin, ANN, BYTES=10 * SIZE)
    await ann.store(jpeg())
    async with service.database() as db:
        await db.execute("update quotas set used = used + 5, count_time = now() - interval '2 d'")
    request = quota_service_pb2.RecalculateQuotaRequest(account=ANN)
    (drift, _, _, last, *_) = (await admin.call(admin.quotas.RecalculateQuota, request)).drifts
    assert (drift.ledger_used, drift.counted_used) == (SIZE + 5, SIZE)
    assert drift.explanation == "The ledger had 5 more used than the media have."
    assert last.explanation == "The ledger had 5 more used than the renditions have."
    assert (await usage(admin, ANN))["BYTES"] == (0, SIZE)
    async with service.database() as db:
        await db.execute("update quotas set reserved = 7")
    async with Database(service.database_url, 1) as database:
        assert await changed_by(recalculate_quotas(database)) == 1
    assert (await usage(admin, ANN))["BYTES"] == (0, SIZE)


async def test_renditions_count_until_they_are_removed_and_fail_their_job_if_they_do_not_fit(
    start: Start, ann: Caller, admin: Caller
) -> None:
    await start(work=True)
    await set_quota(admin, ANN, RENDITION_BYTES=1 << 20)
    media_id = (await ann.store(jpeg(width=64, height=48))).media_id
    (ingest,) = await listed(ann, media_id=media_id)
    await ended(ann, ingest.job_id)

    async def stored() -> int:
        """The bytes of all renditions, which the ledger must have."""
        used = (await usage(admin, ANN))["RENDITION_BYTES"]
        found = (await get(ann, media_id)).renditions
        assert used == (0, sum(each.size_bytes for each in found))
        return used[1]

    thumbnails = await stored()
    assert thumbnails
    for width in (16, 32):  # the second one replaces the first one
        job = await process(ann, media_id, f"resize:{width}x", rendition_name="mine")
        assert (await ended(ann, job.job_id)).state == Job.SUCCEEDED
        assert await stored() > thumbnails
    full = await stored()
    await set_quota(admin, ANN, RENDITION_BYTES=full + 1)
    job = await ended(ann, (await process(ann, media_id, "negate")).job_id)
    assert (job.state, job.attempt, reason(job)) == (Job.FAILED, 1, "QUOTA_EXCEEDED")
    assert error_info(job).metadata["measure"] == "RENDITION_BYTES"
    await set_quota(admin, ANN, RENDITION_BYTES=full)
    refusal = await refused(process(ann, media_id, "negate"))
    assert (refusal.reason, refusal.metadata["used"]) == ("QUOTA_EXCEEDED", str(full))
    (result,) = await batch(ann, Request(media_id=media_id, ops="negate"))
    assert reason(result) == "QUOTA_EXCEEDED"
    assert await stored() == full

    without = (await ann.store(jpeg())).media_id
    (ingest,) = await listed(ann, media_id=without)
    assert (await ended(ann, ingest.job_id)).state == Job.SUCCEEDED
    media = await get(ann, without)
    assert (media.state, list(media.renditions)) == (media.READY, [])

    await delete_rendition(ann, media_id, "mine")
    assert await stored() == thumbnails
    await delete(ann, media_id)
    await purge(ann, media_id)
    assert (await usage(admin, ANN))["RENDITION_BYTES"] == (0, 0)


async def test_of_concurrent_renditions_exactly_as_many_are_stored_as_fit(
    database: Database, admin: Caller
) -> None:
    harness = RenditionHarness(database)
    media_ids = [await harness.new() for _ in range(3)]
    await set_quota(admin, ANN, RENDITION_BYTES=1000)
    adding = [harness.add(media_ids[n % 3], f"r{n}", bytes(100)) for n in range(16)]
    results = await asyncio.gather(*adding, return_exceptions=True)
    refusals = [each for each in results if each is not None]
    assert len(refusals) == 6
    for refusal in refusals:
        assert isinstance(refusal, FailedPrecondition)
        assert refusal.reason is Reason.QUOTA_EXCEEDED
    assert (await usage(admin, ANN))["RENDITION_BYTES"] == (0, 1000)


async def test_processing_seconds_of_a_month_are_charged_when_jobs_end_and_then_refused(
    service: Running, start: Start, ann: Caller, admin: Caller
) -> None:
    await start(work=True, document_presets="preview=page")
    await set_quota(admin, ANN, PROCESSING_SECONDS=1000)

    async def ingested(data: bytes) -> str:
        media_id = (await ann.store(data)).media_id
        assert (await until_done(ann, media_id)).state == media_pb2.Media.READY
        return media_id

    media_id = await ingested(jpeg())
    (_, first) = (await usage(admin, ANN))["PROCESSING_SECONDS"]
    assert first > 0, "the inspection"
    broken = jpeg(width=64, height=48)
    broken_id = (await ann.store(broken[: len(broken) // 2])).media_id
    await until_done(ann, broken_id)
    failed = await ended(ann, (await process(ann, broken_id, "negate")).job_id)
    assert failed.state == Job.FAILED
    (_, used) = (await usage(admin, ANN))["PROCESSING_SECONDS"]
    assert used > first

    await set_quota(admin, ANN, PROCESSING_SECONDS=used)
    with pytest.raises(grpc.RpcError) as caught:
        await process(ann, media_id, "negate")
    refusal = refusal_of(caught.value)
    entry = next(
        entry
        for entry in (await get_quota(ann, ANN)).entries
        if entry.limit.measure == quota_service_pb2.QuotaMeasure.PROCESSING_SECONDS
    )
    begins = entry.reset_time.ToDatetime(UTC)
    assert (begins > datetime.now(UTC), begins.day, begins.hour) == (True, 1, 0)
    assert (refusal.reason, refusal.metadata["used"]) == ("QUOTA_EXCEEDED", str(used))
    assert refusal.metadata["reset_time"] == begins.strftime("%Y-%m-%dT00:00:00Z")
    failure = error_details_pb2.QuotaFailure()
    assert any(each.Unpack(failure) for each in rpc_status.from_call(caught.value).details)
    assert failure.violations[0].description == (
        f"PROCESSING_SECONDS: {used} of {used} used, 1 more requested,"
        f" begins at 0 again at {refusal.metadata['reset_time']}"
    )
    for call in (reprocess(ann, media_id), retry(ann, failed.job_id)):
        assert (await refused(call)).reason == "QUOTA_EXCEEDED"
    document = await ingested(pdf(Page(text("Hello"))))
    (preset,) = await listed(ann, media_id=document, type=Job.PROCESS)
    assert (preset.state, preset.attempt, reason(preset)) == (Job.FAILED, 0, "QUOTA_EXCEEDED")
    assert (await usage(admin, ANN))["PROCESSING_SECONDS"][1] > used

    async with service.database() as db:  # a month passes
        await db.execute("update jobs set end_time = end_time - interval '40 days'")
        await db.execute(
            "update quotas set period_start = period_start - interval '40 days', used = 1000"
            " where measure = 'PROCESSING_SECONDS'"
        )
    assert (await usage(admin, ANN))["PROCESSING_SECONDS"] == (0, 0)
    assert (await ended(ann, (await retry(ann, preset.job_id)).job_id)).state == Job.SUCCEEDED
    assert (await usage(admin, ANN))["PROCESSING_SECONDS"][1] > 0


async def test_a_clock_that_was_in_a_later_month_does_not_stop_the_charges(
    service: Running, start: Start, ann: Caller, admin: Caller
) -> None:
    await start(work=True)
    await set_quota(admin, ANN, PROCESSING_SECONDS=1000)

    async def ingest() -> int:
        await until_done(ann, (await ann.store(jpeg())).media_id)
        (_, used) = (await ledger(admin, ANN))["PROCESSING_SECONDS"]
        return used

    assert await ingest() > 0
    async with service.database() as db:  # charged while the clock was in the future, and set back
        await db.execute(
            "update quotas set period_start = period_start + interval '12 years', used = 1000"
            " where measure = 'PROCESSING_SECONDS'"
        )
    assert (await ledger(admin, ANN))["PROCESSING_SECONDS"] == (0, 0)
    assert 0 < await ingest() < 1000


class Jobs:
    """Jobs on a media, and the thousands of seconds that its accounts must be charged for."""

    def __init__(self, database: Database, user: Caller, project_id: str, media_id: str) -> None:
        self._harness = RenditionHarness(database)
        self._database = database
        self._user = user
        self._project_id = project_id
        self._media_id = media_id
        self.inside = False
        self._running: list[tuple[Claim, int]] = []
        self.attempts: dict[str, int] = {}
        self.ended: set[str] = set()

    @property
    def charged(self) -> int:
        return sum(self.attempts[job_id] for job_id in self.ended)

    async def add(self) -> None:
        project_id = self._project_id if self.inside else ""
        owner = ANN_PRINCIPAL.owner
        new = NewJob(JobKind.PROCESS, self._media_id, owner, project_id=project_id)
        async with self._database.transaction() as tx:
            await tx.enqueue(new)
        self.attempts[new.job_id] = 0

    async def begin(self) -> None:
        """Claims a job, which then runs for one, two or three thousand seconds."""
        async with self._database.connection() as db:
            claimed = await claim(db)
            if claimed:
                thousands = 1 + len(self._running) % 3
                await db.execute(
                    "update jobs set start_time = start_time - make_interval(secs => %s)"
                    " where job_id = %s",
                    (1000 * thousands, claimed.job_id),
                )
                self._running.append((claimed, thousands))

    async def succeed(self) -> None:
        await self._end(lambda db, job: claimed_jobs.finish(db, job, JobState.SUCCEEDED), end=True)

    async def fail(self) -> None:
        fault = Fault(Reason.INTERNAL, "")
        await self._end(
            lambda db, job: claimed_jobs.finish(db, job, JobState.FAILED, fault), end=True
        )

    async def cancel(self) -> None:
        await self._end(lambda db, job: changing.cancel(db, job.job_id), end=True)

    async def fail_for_now(self) -> None:
        fault = Fault(Reason.INTERNAL, "")
        await self._end(lambda db, job: claimed_jobs.retry_later(db, job, timedelta(), fault))

    async def suffer_an_outage(self) -> None:
        fault = Fault(Reason.STORAGE_UNAVAILABLE, "")
        await self._end(
            lambda db, job: claimed_jobs.retry_later(db, job, timedelta(), fault, outage=True),
            counts=False,
        )

    async def give_way(self) -> None:
        await self._end(claimed_jobs.put_back, counts=False)

    async def restart(self) -> None:
        if self.ended:
            job_id = min(self.ended)
            async with self._database.transaction() as tx:
                await tx.execute("update jobs set state = 'FAILED' where job_id = %s", (job_id,))
                await changing.restart(tx, job_id)
            self.ended.remove(job_id)

    async def move(self) -> None:
        self.inside = not self.inside
        request = access_service_pb2.TransferMediaRequest(media_id=self._media_id)
        request.project_id = self._project_id if self.inside else ""
        await self._user.call(self._user.access.TransferMedia, request)

    async def _end(
        self,
        how: Callable[[Connection, Claim], Awaitable[object]],
        *,
        end: bool = False,
        counts: bool = True,
    ) -> None:
        if self._running:
            job, thousands = self._running.pop()
            async with self._database.connection() as db:
                await how(db, job)
            self.attempts[job.job_id] += thousands if counts else 0
            if end:
                self.ended.add(job.job_id)


async def test_after_any_ends_of_jobs_the_accounts_of_their_media_are_charged(
    database: Database, ann: Caller, admin: Caller
) -> None:
    chance = random.Random(3)  # noqa: S311 - not for secrets
    project_id = (await create_project(ann)).project_id
    project = f"project:{project_id}"
    for account in (ANN, project):
        await set_quota(admin, account, PROCESSING_SECONDS=1)
    jobs = Jobs(database, ann, project_id, await RenditionHarness(database).new())
    calls = [
        *(jobs.add, jobs.add, jobs.begin, jobs.begin, jobs.begin, jobs.succeed, jobs.fail),
        *(jobs.cancel, jobs.fail_for_now, jobs.suffer_an_outage, jobs.give_way, jobs.restart),
        jobs.move,
    ]
    for _ in range(60):
        await chance.choice(calls)()
        for account, expected in ((ANN, jobs.charged), (project, jobs.inside * jobs.charged)):
            (_, used) = (await ledger(admin, account))["PROCESSING_SECONDS"]
            assert used // 1000 == expected
    assert jobs.charged
    if not jobs.inside:
        await jobs.move()
    assert (await usage(admin, project))["PROCESSING_SECONDS"][1] // 1000 == jobs.charged
    async with database.connection() as db:
        await db.execute("update projects set owner_id = 'bob'")
    assert (await ledger(admin, ANN))["PROCESSING_SECONDS"] == (0, 0)


async def test_a_full_cache_drops_the_renders_that_were_used_the_longest_time_ago(
    database: Database, admin: Caller
) -> None:
    harness = RenditionHarness(database)
    media_ids = [await harness.new() for _ in range(2)]
    specs = [await render_spec(harness, media_ids[n % 2], f"resize:{n + 1}x") for n in range(8)]

    async def cached() -> list[int]:
        return [n for n, spec in enumerate(specs) if await find(harness, spec)]

    await set_quota(admin, ANN, CACHE_BYTES=450)
    for number, spec in enumerate(specs[:4]):
        await keep(harness, spec, bytes(100))
        await harness.execute(
            "update renders set use_time = now() - make_interval(days => 10 - %s) where key = %s",
            (number, spec.key),
        )
    assert (await usage(admin, ANN))["CACHE_BYTES"] == (0, 400)
    await keep(harness, specs[4], bytes(100))
    assert await cached() == [1, 2, 3, 4]
    await asyncio.gather(*(keep(harness, spec, bytes(100)) for spec in specs[5:]))
    assert (await usage(admin, ANN))["CACHE_BYTES"] == (0, 400)
    await keep(harness, specs[0], bytes(1000))
    assert await cached() == [0], "the newest render stays, even if it is larger than the limit"
    assert (await usage(admin, ANN))["CACHE_BYTES"] == (0, 1000)
    await harness.settle()
    assert await harness.execute("select 1 from blobs where reference_count = 0") == []


async def test_a_project_is_deleted_with_its_quota(
    service: Running, ann: Caller, admin: Caller
) -> None:
    project = (await create_project(ann)).project_id
    await set_quota(admin, f"project:{project}", MEDIA=1)
    request = access_service_pb2.DeleteProjectRequest(project_id=project)
    await ann.call(ann.access.DeleteProject, request)
    async with service.database() as db:
        left = await (await db.execute("select count(*) from quotas")).fetchone()
    assert left == (0,)


async def test_a_transfer_moves_the_charge(ann: Caller, bob: Caller, admin: Caller) -> None:
    bobs = "owner:/user:bob"
    await set_quota(admin, ANN, BYTES=10 * SIZE)
    await set_quota(admin, bobs, BYTES=SIZE)
    project = (await create_project(ann)).project_id
    await set_quota(admin, f"project:{project}", BYTES=10 * SIZE)
    await store_in(ann, project, jpeg())
    media = await ann.store(jpeg())
    move = access_service_pb2.TransferMediaRequest(media_id=media.media_id, project_id=project)
    await ann.call(ann.access.TransferMedia, move)
    assert (await usage(admin, f"project:{project}"))["BYTES"] == (0, 2 * SIZE)
    assert (await usage(admin, ANN))["BYTES"] == (0, 2 * SIZE)
    await grant(bob, bobs, "user:ann", "EDITOR")
    request = access_service_pb2.TransferProjectRequest(project_id=project)
    request.owner.type, request.owner.id = "user", "bob"
    refusal = await refused(ann.call(ann.access.TransferProject, request))
    assert (refusal.reason, refusal.metadata["account"]) == ("QUOTA_EXCEEDED", bobs)
    await set_quota(admin, bobs, BYTES=2 * SIZE)
    await ann.call(ann.access.TransferProject, request)
    assert (await usage(admin, ANN))["BYTES"] == (0, 0)
    assert (await usage(admin, bobs))["BYTES"] == (0, 2 * SIZE)
