"""What access costs: lists of a member of many projects among a million media, and GetMedia of a
member through a group, compared with the owner."""

import statistics
from collections.abc import Mapping
from functools import partial
from typing import Any

import psycopg
from mediaservice.v1 import media_service_pb2, media_service_pb2_grpc

from benchmarks.measure import Bench, say
from benchmarks.own_server import as_user, filled_database, ms, p95, pages, row, server
from benchmarks.report import Outcome
from benchmarks.transfer import channel

MEDIA, QUICK_MEDIA = 1_000_000, 100_000
PROJECTS, OF_CALLER, SINGLE = 2000, 50, 1000
MEMBER = "member"
PAGE = 50
MOST_MS, MOST_MORE = 25.0, 1.15
# Name, filter and how rare it is among all media.
FILTERS = {
    "no filter": "",
    "kind=IMAGE (8 of 10)": "kind=IMAGE",
    "size_bytes>9900000 (1 of 100)": "size_bytes>9900000",
    'labels.batch="7" (1 of 10 000)': 'labels.batch="7"',
    "tags:photo (all)": "tags:photo",
    "tags:tag-7 (1 of 100)": "tags:tag-7",
}
# Pages of each list; the rarest has fewer.
PAGES = 40
ROUNDS = 400

# The member has 25 projects directly and 25 through groups, and the single media of other projects.
ROWS = """
insert into organizations (organization_id) values ('bench');
insert into projects (project_id, org_id, owner_type, owner_id)
select 'project-' || n, 'bench', 'user', 'owner-' || n % 500 from generate_series(1, {projects}) n;
insert into groups (group_id, org_id) select 'group-' || n, 'bench' from generate_series(1, 25) n;
insert into group_members select 'group-' || n, 'user:{member}' from generate_series(1, 25) n;
insert into access_grants (resource, grantee, role)
values ('organization:bench', 'user:{member}', 0);
insert into access_grants (resource, grantee, role)
select 'project:project-' || n * 40,
       case when n % 2 = 0 then 'user:{member}' else 'group:group-' || (n + 1) / 2 end, 1
from generate_series(1, {of_caller}) n;
insert into access_grants (resource, grantee, role)
select 'project:project-' || n % {projects} + 1, 'user:member-' || n, 1
from generate_series(1, 20000) n;
create temporary table added as
select gen_random_uuid() as media_id, gen_random_uuid() as blob_id, n,
       1 + floor(random() * {projects})::int as project,
       now() - random() * interval '730 days' as create_time
from generate_series(1, {media}) n;
insert into blobs (blob_id, store, key, size_bytes, crc32c)
select blob_id, 'raw', 'blobs/' || blob_id, n * 10, 0 from added;
insert into media (media_id, org_id, owner_type, owner_id, state, kind, content_type, size_bytes,
                   filename, project_id, create_time, update_time, labels, tags, info)
select media_id, 'bench', 'user', 'owner-' || project % 500, 'READY',
       case when n % 10 < 8 then 'IMAGE' else 'DOCUMENT' end, 'image/jpeg',
       hashint4(n)::bigint % 5000000 + 5000000, 'IMG_' || n || '.jpg', 'project-' || project,
       create_time, create_time, jsonb_build_object('batch', (n % 10000)::text),
       array['photo', 'tag-' || n % 100],
       case when n % 10 < 8 then
           jsonb_build_object('width', 4000, 'height', 3000, 'text', repeat('x', 300))
       end
from added;
insert into media_versions (media_id, version, blob_id, content_type)
select media_id, 1, blob_id, 'image/jpeg' from added;
insert into access_grants (resource, grantee, role)
select 'media:' || media_id, 'user:{member}', 1 from added where project % 40 <> 0 limit {single};
"""


def fill(url: str, media: int) -> None:
    rows = ROWS.format(
        media=media, projects=PROJECTS, of_caller=OF_CALLER, single=SINGLE, member=MEMBER
    )
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("set synchronous_commit = off")
        for statement in rows.split(";\n"):
            if statement.strip():
                db.execute(statement.encode())
        db.execute("vacuum analyze")


async def access(bench: Bench) -> Outcome:
    media = QUICK_MEDIA if bench.seconds < 10 else MEDIA
    say(f"  {media} media in {PROJECTS} projects ...")
    url = await filled_database(bench, "access", partial(fill, media=media))
    rows, notes = [], []
    with server(bench, url, "access") as address:
        async with channel(address) as opened:
            stub: Any = media_service_pb2_grpc.MediaServiceStub(opened)
            for name, filter_ in FILTERS.items():
                call = as_user(bench, stub.ListMedia, MEMBER)
                request = media_service_pb2.ListMediaRequest(filter=filter_, page_size=PAGE)
                await pages(call, request, PAGES)
                took = [
                    each for _ in range(bench.rounds) for each in await pages(call, request, PAGES)
                ]
                say(f"  {name}: {len(took)} pages, median {statistics.median(took):.1f} ms")
                rows.append(row(f"ListMedia of a member, {name}: p95", p95(took), MOST_MS))
            member, owner = await get_medians(bench, stub, url)
            rows.append(row("GetMedia by a group's member: median", member, owner, MOST_MORE))
    notes.append(
        f"{media} media in {PROJECTS} projects, of which the caller is in {OF_CALLER}, half of them"
        f" through groups, and has {SINGLE} single media. Pages of {PAGE}, one after the other."
    )
    return Outcome(rows, [], notes)


async def get_medians(bench: Bench, stub: Any, url: str) -> tuple[float, float]:
    """Medians of GetMedia in milliseconds: by a member of a group, and by an owner without an
    organization."""
    with psycopg.connect(url, autocommit=True) as db:
        shared = one(db, "select media_id from media where project_id = 'project-40' limit 1")
        own = one(db, "select media_id from media where project_id = 'project-41' limit 1")
        db.execute(
            "update media set org_id = '', project_id = '', owner_id = 'alone' where media_id = %s",
            (own,),
        )
    took: Mapping[str, list[float]] = {MEMBER: [], "alone": []}
    for _ in range(ROUNDS):
        for user, media_id in ((MEMBER, shared), ("alone", own)):
            call = as_user(bench, stub.GetMedia, user)
            _, needed = await ms(call(media_service_pb2.GetMediaRequest(media_id=media_id)))
            took[user].append(needed)
    return statistics.median(took[MEMBER]), statistics.median(took["alone"])


def one(db: psycopg.Connection, query: str) -> str:
    found = db.execute(query.encode()).fetchone()
    assert found
    return str(found[0])
