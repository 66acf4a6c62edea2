"""Checks whether the service kept its promises after it was killed."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from mediaservice.v1 import job_pb2, media_pb2, upload_pb2
from psycopg.rows import dict_row

from media_service.blobs.references import blob_references
from tests.support.crash.client import (
    FRAMES,
    RENDITION,
    Attempt,
    CrashClient,
    Scenario,
    at_once,
    in_one_request,
    replace_further,
)
from tests.support.crash.deployment import Deployment
from tests.support.media.numbered_frames import frames_of, shade
from tests.support.rpc.server import refusal
from tests.support.tools import eventually

State = upload_pb2.Upload.State
UNFINISHED = {"NONE", "ACTIVE", "VERIFYING"}

# The blobs that anyone may read.
PUBLISHED = """
    select b.key from renditions r join blobs b using (blob_id) join media m using (media_id)
    where m.visibility = 'PUBLIC' and m.delete_time is null and m.state <> 'QUARANTINED'"""

# How many rows refer to the blob `b`.
REFERENCES = " + ".join(
    f"(select count(*) from {reference.table} r where r.blob_id = b.blob_id)"  # noqa: S608 - made of constants
    for reference in blob_references()
)

# Each query finds violations once all jobs are done. It must return no rows.
INVARIANTS = {
    "a media whose upload is not FINISHED": """
        select m.media_id as id from media m join uploads u on u.media_id = m.media_id
        where u.state <> 'FINISHED'""",
    "a media without an upload": """
        select media_id as id from media m
        where not exists (select from uploads u where u.media_id = m.media_id)""",
    "a file that was stored twice": """
        select min(media_id::text) as id from media group by filename having count(*) > 1""",
    "an idempotency key without its upload or job": """
        select resource_id as id from idempotency_keys k
        where not exists (select from uploads u where u.upload_id = k.resource_id)
        and not exists (select from jobs j where j.job_id = k.resource_id)""",
    "an idempotency key that is still leased": """
        select resource_id as id from idempotency_keys where lease_until is not null""",
    "a media without exactly one current version": """
        select media_id as id from media m
        where (select array_agg(v.version) from media_versions v
               where v.media_id = m.media_id and v.state is null)
              is distinct from array[m.version]""",
    "a new version that has not ended": """
        select m.media_id as id from media m join media_versions v on v.media_id = m.media_id
        where v.version > m.version and v.state in ('PENDING', 'PROCESSING')""",
    "a rendition that was kept with a version that is current": """
        select m.media_id as id from version_renditions join media m using (media_id, version)""",
    "a media whose creation and purge are not in the audit log, once each": """
        select media_id as id from (
            select media_id, 1 as created, 0 as purged from media
            union all
            select media_id, case action when 'media.create' then -1 else 0 end,
                   case action when 'media.purge' then -1 else 0 end
            from audit_entries where action in ('media.create', 'media.purge')
        ) e
        group by media_id having sum(created) <> sum(purged)""",
    "a blob whose references are counted wrong": f"""
        select blob_id as id from blobs b where reference_count <> {REFERENCES}""",  # noqa: S608
    "a job that SUCCEEDED without a rendition": """
        select subject_id as id from jobs j where kind = 'PROCESS' and state = 'SUCCEEDED'
        and not exists (
            select from renditions r where r.media_id = j.subject_id and r.name = j.rendition
        )""",
    "an unfinished stream": "select media_id as id from streams where not ready",
    "a stream with missing segments": """
        select s.media_id as id from streams s cross join lateral
            jsonb_to_recordset(s.ladder -> 'rungs' || (s.ladder -> 'audio_tracks')) as t (name text)
        where (select count(*) from stream_segments g
               where g.stream_id = s.stream_id and g.track = t.name)
              is distinct from
              (select max(number) + 1 from stream_segments g
               where g.stream_id = s.stream_id and g.track = t.name)""",
    "a stream without a rendition, or the reverse": """
        select media_id as id from (select * from streams where ready) s
        full join (select * from renditions where name = 'stream') r using (media_id)
        where s.media_id is null or r.media_id is null""",
    "a part of a job that has ended": """
        select subject_id as id from jobs where parent_id is not null""",
    # Except uploads with which `reconcile` reserves an id.
    "a blob that nothing refers to": """
        select b.blob_id as id from blobs b where reference_count = 0 and not exists (
            select from uploads u where u.blob_id = b.blob_id and u.owner_type = 'service')""",
    "sizes that differ": """
        select m.media_id as id from media m
        join media_versions v on v.media_id = m.media_id
        join blobs b on b.blob_id = v.blob_id
        left join uploads u on u.media_id = m.media_id and u.version = v.version
        group by m.media_id having bool_or(u.committed_size <> b.size_bytes)
        or m.size_bytes <> sum(b.size_bytes) filter (where v.version = m.version)
        or m.size_bytes + m.other_bytes <> sum(b.size_bytes)""",
    "a committed size that is not that of the parts": """
        select u.upload_id as id from uploads u
        join (
            select p.upload_id, sum(p.size_bytes) as size from upload_parts p
            join uploads u on u.upload_id = p.upload_id
            where p.stored and p.number < u.next_part
            group by p.upload_id
        ) p on p.upload_id = u.upload_id
        where u.committed_size <> p.size""",
    "a part behind a gap, or never stored, of a finished upload": """
        select u.upload_id as id from uploads u
        join upload_parts p on p.upload_id = u.upload_id
        where u.state = 'FINISHED' and (p.number >= u.next_part or not p.stored)""",
    "parts of an upload that ended without a media": """
        select distinct p.upload_id as id from upload_parts p
        join uploads u on u.upload_id = p.upload_id
        where u.state in ('ABORTED', 'EXPIRED', 'FAILED')""",
    "an upload that failed": "select upload_id as id from uploads where state = 'FAILED'",
    # Each claim is an attempt. A job that killed ten workers fails, and a later job replaces it.
    # An inspection also fails if its media was purged, or its version deleted, meanwhile.
    "a job that failed before its attempts were used up": """
        select subject_id as id from jobs j where state = 'FAILED' and attempt <= 5
        and (kind <> 'INGEST' or exists (
            select from media_versions v
            where v.media_id = j.subject_id and j.version in (0, v.version)
        ))""",
    "bytes to delete without a job": """
        select f.subject_id as id from jobs f
        where f.state = 'FAILED' and f.kind in ('DISCARD', 'UNLINK') and not exists (
            select from jobs j
            where j.subject_id = f.subject_id and j.kind = f.kind and j.state = 'SUCCEEDED'
        )""",
    "a quota that is not what the rows use": """
        with charged as (
            select org_id, owner_type, owner_id, project_id, 'BYTES' as measure, 0 as reserved,
                   size_bytes + other_bytes as used
            from media
            union all
            select org_id, owner_type, owner_id, project_id, 'BYTES', reserved_bytes(
                state, size_bytes, max_size_bytes, committed_size
            ), 0
            from uploads
            union all
            select org_id, owner_type, owner_id, project_id, 'RENDITION_BYTES', 0, b.size_bytes
            from media m join renditions r using (media_id) join blobs b using (blob_id)
            union all
            select org_id, owner_type, owner_id, project_id, 'RENDITION_BYTES', 0, b.size_bytes
            from media m join version_renditions r using (media_id) join blobs b using (blob_id)
            union all
            select org_id, owner_type, owner_id, project_id, 'RENDITION_BYTES', 0, b.size_bytes
            from media m join streams s using (media_id) join stream_segments g using (stream_id)
            join blobs b using (blob_id)
            union all
            select org_id, owner_type, owner_id, project_id, 'CACHE_BYTES', 0, b.size_bytes
            from media m join renders r using (media_id) join blobs b using (blob_id)
            union all
            select org_id, owner_type, owner_id, project_id, 'PROCESSING_SECONDS', 0,
                   charged_seconds(end_time, slot_seconds)
            from jobs where owner_type is not null and parent_id is null
        ), counted as (
            select a.account, c.measure, sum(c.reserved) as reserved, sum(c.used) as used
            from charged c
            cross join lateral accounts_of(c.org_id, c.owner_type, c.owner_id, c.project_id) a
            group by a.account, c.measure
        )
        select q.account as id from quotas q left join counted c using (account, measure)
        where q.measure not in ('MEDIA', 'FILE_BYTES')
        and (q.reserved, used_now(q.used, q.period_start))
            is distinct from (coalesce(c.reserved, 0), coalesce(c.used, 0))""",
    "more than one ingest job for a version": """
        select subject_id as id from jobs where kind = 'INGEST'
        group by subject_id, version having count(*) > 1""",
}


class Broken(AssertionError):
    """A broken promise. `fate` is where the service was killed."""

    def __init__(self, promise: str, fate: str) -> None:
        super().__init__(f"{promise} (killed at {fate})")
        self.fate = fate


def require(kept: bool, promise: str, attempt: Attempt) -> None:
    if not kept:
        raise Broken(f"{attempt.name}: {promise}", attempt.fate)


def state_of(client: CrashClient, attempt: Attempt) -> str:
    upload = client.upload(attempt)
    return State.Name(upload.state) if upload else "NONE"


def check_upload(client: CrashClient, attempt: Attempt) -> str:
    """Returns the state of an upload without changing it. The state must be possible."""
    upload, media = client.upload(attempt), client.media(attempt)
    state = State.Name(upload.state) if upload else "NONE"
    if media is not None and state != "FINISHED":  # a worker may have finished it in between
        require(state_of(client, attempt) == "FINISHED", f"half-visible while {state}", attempt)
        state = "FINISHED"
    require(state != "FAILED", "the upload failed", attempt)
    if attempt.finished:
        require(state == "FINISHED", f"acknowledged as finished, but now {state}", attempt)
    elif attempt.ended and attempt.end == "aborted":
        require(state == "ABORTED", f"acknowledged as aborted, but now {state}", attempt)
    if attempt.created:
        require(state != "NONE", "acknowledged, but now unknown", attempt)
    if upload is not None:
        check_committed_bytes(client, attempt, upload)
    if state == "ABORTED" and not attempt.in_one_request:
        require(attempt.end == "aborted", "aborted without a request", attempt)
    if state == "EXPIRED":
        require(attempt.end == "expired", "expired before its time", attempt)
    if state == "FINISHED" and attempt.end == "purged":
        require(media is None or not attempt.ended, "purged, but still there", attempt)
    elif state == "FINISHED":
        check_media(client, attempt)
    check_job(client, attempt)
    return state


def check_job(client: CrashClient, attempt: Attempt) -> str:
    """The state of the acknowledged job, if any. A job that SUCCEEDED must have its rendition."""
    if not attempt.job_id:
        return ""
    job = client.job(attempt.job_id)
    require(job is not None, "an acknowledged job is unknown", attempt)
    assert job is not None
    state = job_pb2.Job.State.Name(job.state)
    allowed = not attempt.cancelled or state == "CANCELLED"
    require(state != "FAILED" and allowed, f"a job is {state}", attempt)
    require(state != "CANCELLED" or attempt.cancelled, "cancelled without a request", attempt)
    if state == "SUCCEEDED" and attempt.streamed:
        check_stream(client, attempt)
    elif state == "SUCCEEDED":
        made = client.content(attempt.media_id, RENDITION)
        whole = len(made) == job.rendition.size_bytes and made[8:12] == b"WEBP"
        require(whole, "a job SUCCEEDED, but its rendition is missing", attempt)
    return state


def check_stream(client: CrashClient, attempt: Attempt) -> None:
    """Checks that the stream has every frame of the video, once and in order."""
    with tempfile.NamedTemporaryFile(prefix="media-crash-") as file:
        file.write(client.video(attempt.media_id))
        file.flush()
        shown = frames_of(Path(file.name))
    each = 0.4 if "speed:0.5" in attempt.wanted else 0.2
    wanted = [(number * each, shade(number)) for number in range(FRAMES)]
    same = len(shown) == len(wanted) and all(
        abs(time - at) < 0.001 and abs(luma - shade) <= 2
        for (time, luma), (at, shade) in zip(shown, wanted, strict=True)
    )
    require(same, "a job SUCCEEDED, but its stream has wrong frames", attempt)


def check_media(client: CrashClient, attempt: Attempt) -> None:
    """Checks every byte of the media and its renditions, in whichever store they are."""
    before, data, after = client.media(attempt), client.content(attempt.media_id), None
    if attempt.replacement:  # a worker may replace the file in between
        after = client.media(attempt)
    require(before is not None, "finished, without a media", attempt)
    expected = {attempt.bytes_of(media.version) for media in (before, after) if media}
    require(data in expected, "wrong bytes", attempt)
    for name, data in attempt.renditions.items():
        found = client.content(attempt.media_id, name)
        require(found == data, f"wrong bytes in the rendition {name}", attempt)


def check_committed_bytes(client: CrashClient, attempt: Attempt, upload: upload_pb2.Upload) -> None:
    """Checks that all acknowledged bytes and parts are stored."""
    kept = upload.committed_size_bytes
    require(
        kept >= attempt.committed,
        f"committed size fell from {attempt.committed} to {kept}",
        attempt,
    )
    if upload.state == State.Value("ACTIVE") and attempt.parts:
        gone = attempt.parts - client.parts(attempt)
        require(not gone, f"acknowledged parts {gone} are missing", attempt)


def resume(client: CrashClient, attempt: Attempt) -> None:
    """Continues an interrupted upload until it reaches its expected end."""
    state = check_upload(client, attempt)
    if attempt.in_one_request:
        repeat(in_one_request, client, attempt)
    elif state == "NONE":
        repeat(at_once, client, attempt)
        attempt.end = "stored"
    elif state == "ACTIVE":
        end(client, attempt)
    elif state == "FINISHED" and attempt.end == "purged":
        if not attempt.ended and client.media(attempt) is not None:
            client.delete(attempt)
            client.purge(attempt)
        attempt.ended = True
    elif state == "FINISHED":
        use(client, attempt)


def repeat(work: Scenario, client: CrashClient, attempt: Attempt) -> None:
    """Repeats a call with its idempotency key until there is a result. The service may consider
    the earlier call running for a while, or a worker may have to finish it."""

    def done() -> bool:
        try:
            work(client, attempt)
        except grpc.RpcError as error:
            if refusal(error).reason != "IDEMPOTENCY_IN_PROGRESS":
                raise
            return False
        return True

    eventually(done, 120)


def end(client: CrashClient, attempt: Attempt) -> None:
    """Finishes or aborts an active upload."""
    upload = client.upload(attempt)
    assert upload is not None
    if attempt.end == "aborted":
        client.abort(attempt)
    elif attempt.end == "expired":
        return
    elif attempt.by_parts:
        client.put_parts(attempt)
        client.complete(attempt)
    elif upload.committed_size_bytes < len(attempt.data):
        client.write(attempt, upload.committed_size_bytes, len(attempt.data))
    else:
        client.complete(attempt)


def use(client: CrashClient, attempt: Attempt) -> None:
    """Performs the requested operations on a media."""
    if attempt.render:
        require(client.render(attempt.media_id) == attempt.render, "another render", attempt)
    if attempt.visibility:
        client.show(attempt, attempt.visibility)
    if attempt.wanted:
        client.order(attempt, attempt.wanted)
    if attempt.replacement:
        repeat(replace_further, client, attempt)


def check_attempt(client: CrashClient, attempt: Attempt) -> None:
    """Checks what must hold for an attempt once all jobs are done."""
    state = check_upload(client, attempt)
    require(state not in UNFINISHED, f"still {state}", attempt)
    if attempt.job_id:
        ended = check_job(client, attempt)
        wanted = "CANCELLED" if attempt.cancelled else "SUCCEEDED"
        require(ended == wanted, f"a job that was accepted is {ended}", attempt)
    if state != "FINISHED" or attempt.end == "purged":
        return
    media = client.media(attempt)
    assert media is not None
    versions = client.versions(attempt) if attempt.replacement else {1}
    require(media.version == max(versions), "the newest version is not current", attempt)
    sha256 = hashlib.sha256(attempt.bytes_of(media.version)).digest()
    state = media_pb2.Media.State.Name(media.state)
    require(state == "READY", f"an intact image is {state}", attempt)
    require(media.checksums.sha256 == sha256, "wrong SHA-256", attempt)
    if attempt.visibility:
        visibility = media_pb2.Media.Visibility.Name(media.visibility)
        require(
            visibility == attempt.visibility, f"visibility must be {attempt.visibility}", attempt
        )
    names = {rendition.name for rendition in media.renditions}
    require(names >= attempt.renditions.keys(), "renditions are missing", attempt)
    again = [client.complete(attempt).media for _ in range(2)]
    require(again == [media, media], "completing again returned another media", attempt)


def rows(deployment: Deployment, query: str) -> list[dict[str, Any]]:
    return deployment.db.cursor(row_factory=dict_row).execute(query.encode()).fetchall()


def check_public_store(deployment: Deployment) -> None:
    """Checks that the public store holds exactly the published blobs."""
    stored, published = deployment.in_public(), {row["key"] for row in rows(deployment, PUBLISHED)}
    if stored != published:
        raise Broken(f"the public store has {stored}, but {published} is published", "")


def reconcile(deployment: Deployment) -> None:
    """Checks that `reconcile` removes unreferenced blobs and then finds nothing: every row has its
    bytes, and every checksum matches."""
    options = ["--repair", "--older-than", "1s"]
    found = deployment.run("reconcile", *options)
    kinds = {line.split("\t")[0] for line in found.splitlines()}
    if not kinds <= {"ORPHANED", "ABANDONED"}:
        raise Broken(f"reconcile found:\n{found}", "")
    if left := deployment.run("reconcile", *options):
        raise Broken(f"reconcile still found:\n{left}", "")


Report = Callable[[Broken], None]


def raise_broken(broken: Broken) -> None:
    raise broken


@contextmanager
def reported(report: Report) -> Iterator[None]:
    try:
        yield
    except Broken as broken:
        report(broken)


def settle(
    deployment: Deployment, attempts: Sequence[Attempt], report: Report = raise_broken
) -> None:
    """Restarts the service, completes every upload and job, and checks the uploads, the rows and
    the store."""
    deployment.pass_time("2 days")  # ends the leases of dead processes
    server, worker = deployment.launch("serve"), deployment.launch("work")
    server.ready()
    worker.ready()
    with deployment.client(server) as client:
        for attempt in attempts:
            with reported(report):
                resume(client, attempt)
        if ended := [attempt for attempt in attempts if attempt.end == "expired"]:
            deployment.expire(*ended)
            worker.stop()  # a worker sweeps when it starts
            worker = deployment.start("work")
        deployment.await_idle()
        for attempt in attempts:
            with reported(report):
                check_attempt(client, attempt)
    for what, query in INVARIANTS.items():
        for row in rows(deployment, query):
            found = (a for a in attempts if str(row["id"]) in {a.upload_id, a.media_id})
            fate = next((attempt.fate for attempt in found), "")
            report(Broken(f"{row['id']}: {what}", fate))
    with reported(report):
        check_public_store(deployment)
    with reported(report):
        reconcile(deployment)
    worker.stop()
    server.stop()
