"""The organizations, callers and things that the rows of the matrix are about.

Callers have their roles on a **place**: a project, a media or an event of the organization acme, or
the organization initech itself.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import psycopg
from mediaservice.v1 import media_pb2, upload_pb2, upload_service_pb2

from media_service import app
from media_service.config import load
from media_service.credentials.key_text import new_key, secret_hash
from media_service.ids import new_id
from tests.matrix.callers import (
    ADMINISTRATOR,
    AUTHOR,
    CALLERS,
    LINKS,
    ROLES,
    SETTINGS,
    bearer,
    tokens,
)
from tests.support.media.small_files import jpeg
from tests.support.rpc.archives import create_archive
from tests.support.rpc.catalogue import get
from tests.support.rpc.jobs import process
from tests.support.rpc.links import link
from tests.support.rpc.parts import sign
from tests.support.rpc.server import NO_PRESETS, SECRET, Caller
from tests.support.rpc.share_links import open_link, share

# The values that the placeholders of a request stand for, such as "media" for `$media`.
Target = dict[str, str]
ACME, INITECH, GLOBEX = "acme", "initech", "globex"
MIGRATED = "media", "media_versions", "renditions", "jobs"
Media = media_pb2.Media
ENDINGS = {
    "expired_link": "update share_links set expire_time = now() where share_link_id = %s",
    "revoked_link": "update share_links set revoke_time = now() where share_link_id = %s",
}


@dataclass(frozen=True)
class Place:
    """Where callers have their roles, and what is in it. `resource`: in grants; "media" and
    "collection": each of them itself."""

    resource: str
    org: str
    project: str = ""
    owner: tuple[str, str] = ("user", AUTHOR)


PROJECT = Place("project:shared-k3x9q2ma", ACME, "shared-k3x9q2ma")
MEDIA = Place("media", ACME)
COLLECTION = Place("collection", ACME)
EVENT = Place("owner:acme/event:gala", ACME, owner=("event", "gala"))
ORGANIZATION = Place("organization:initech", INITECH)


@dataclass
class World:
    """`author` owns what is not an event's. `originals`: ids of rows to copy, by table."""

    db: psycopg.AsyncConnection
    author: Caller
    credentials: dict[str, dict[str, str]] = field(default_factory=dict)
    accounts: dict[str, str] = field(default_factory=dict)
    originals: dict[str, str] = field(default_factory=dict)
    public_path: str = ""
    columns: dict[str, list[str]] = field(default_factory=dict)

    def token(self, caller: str, org: str) -> str:
        return self.credentials[org][caller]

    async def execute(self, statement: str, *params: object) -> None:
        await self.db.execute(statement.encode(), params)

    # Callers

    async def found(self) -> None:
        """Adds the organizations and the callers."""
        for org in (ACME, INITECH, GLOBEX):
            await self.execute("insert into organizations (organization_id) values (%s)", org)
        for org in (ACME, INITECH):
            for user in (AUTHOR, "member"):
                await self.put(f"organization:{org}", f"user:{user}", 0)
            await self.add_account(org)
        for role, level in ROLES.items():
            await self.put("organization:acme", f"user:{role}", 0)
            await self.put(ORGANIZATION.resource, f"user:{role}", level)
        account = f"service_account:{self.accounts[INITECH]}"
        await self.put(ORGANIZATION.resource, account, ROLES["editor"])
        await self.put("organization:globex", "user:outsider", ROLES["owner"])
        await self.put("service:", f"user:{ADMINISTRATOR}", ROLES["owner"])
        await self.add_project(PROJECT.project)
        await self.grant(EVENT.resource)
        await self.put(EVENT.resource, f"user:{AUTHOR}", ROLES["owner"])

    async def add_account(self, org: str) -> None:
        """A service account, and a key of it for each caller that has one."""
        self.accounts[org] = await self.service_account(org)
        keys = {
            "service_account": await self.api_key(self.accounts[org], None),
            "api_key": await self.api_key(self.accounts[org], ["media.read"]),
            "revoked_key": await self.api_key(self.accounts[org], None, revoked=True),
        }
        self.credentials[org] = {**tokens(), **keys}

    async def add_links(self, address: str) -> None:
        """The sessions of share links to the project."""
        sessions = {}
        for name, mode in LINKS.items():
            made = await share(self.author, PROJECT.resource, mode=mode)
            sessions[name] = (await open_link(address, made.secret)).session_token
            if name in ENDINGS:
                await self.execute(ENDINGS[name], made.share_link.share_link_id)
        for credentials in self.credentials.values():
            credentials.update(sessions)
            assert set(credentials) == set(CALLERS)

    async def service_account(self, org: str) -> str:
        account_id = new_id()
        await self.execute(
            "insert into service_accounts (service_account_id, org_id, owner_type, owner_id,"
            " display_name) values (%s, %s, 'organization', %s, '')",
            *(account_id, org, org),
        )
        return account_id

    async def api_key(
        self, account_id: str, scopes: list[str] | None, *, revoked: bool = False, key_id: str = ""
    ) -> str:
        new = new_key()
        await self.execute(
            "insert into api_keys (api_key_id, service_account_id, org_id, owner_type, owner_id,"
            " prefix, secret_hash, scopes, revoke_time)"
            " select %s, a.service_account_id, a.org_id, a.owner_type, a.owner_id, %s, %s, %s,"
            " case when %s then now() end from service_accounts a where a.service_account_id = %s",
            *(key_id or new_id(), new.prefix, secret_hash(new.secret), scopes, revoked),
            account_id,
        )
        return new.text

    async def put(self, resource: str, grantee: str, role: int) -> None:
        await self.execute(
            "insert into access_grants (resource, grantee, role) values (%s, %s, %s)",
            *(resource, grantee, role),
        )

    async def grant(self, resource: str) -> None:
        """Grants the callers their roles on a resource in acme."""
        roles = {f"user:{role}": level for role, level in ROLES.items()}
        roles["user:outsider"] = ROLES["owner"]
        roles[f"service_account:{self.accounts[ACME]}"] = ROLES["editor"]
        await self.execute(
            "insert into access_grants (resource, grantee, role)"
            " select %s, g.grantee, g.role from unnest(%s::text[], %s::int[]) as g (grantee, role)",
            *(resource, list(roles), list(roles.values())),
        )

    # Things

    async def add_project(self, project_id: str, org: str = ACME) -> None:
        await self.execute(
            "insert into projects (project_id, org_id, owner_type, owner_id)"
            " values (%s, %s, 'user', %s)",
            *(project_id, org, AUTHOR),
        )
        if org == ACME:
            await self.grant(f"project:{project_id}")

    async def copy(self, table: str, key: str, **changed: object) -> None:
        """Copies the original of a table, with changes."""
        names = self.columns[table]
        values = ", ".join("%s" if name in changed else f"t.{name}" for name in names)
        into = f"insert into {table} ({', '.join(names)})"
        await self.execute(
            f"{into} select {values} from {table} t where t.{key} = %s",  # noqa: S608
            *(changed[name] for name in names if name in changed),
            self.originals[table],
        )

    async def add_media(self, place: Place, project: str = "") -> str:
        media_id = new_id()
        await self.copy(
            *("media", "media_id"),
            media_id=media_id,
            project_id=project or place.project,
            org_id=place.org,
            owner_type=place.owner[0],
            owner_id=place.owner[1],
        )
        await self.copy("media_versions", "media_id", media_id=media_id)
        await self.copy("renditions", "media_id", media_id=media_id)
        if place.resource == "media":
            await self.grant(f"media:{media_id}")
        return media_id

    async def add_job(self, place: Place, state: str, project: str = "") -> tuple[str, str]:
        """Returns the ids of the job and of its media."""
        job_id, media_id = new_id(), await self.add_media(place, project)
        await self.copy(
            *("jobs", "job_id"),
            job_id=job_id,
            subject_id=media_id,
            state=state,
            project_id=project or place.project,
            org_id=place.org,
            owner_type=place.owner[0],
            owner_id=place.owner[1],
        )
        return job_id, media_id

    async def add_upload(self, place: Place, project: str = "", **spec: Any) -> upload_pb2.Upload:
        kind, id_ = place.owner
        owner = media_pb2.Owner(type=kind, id=id_, organization_id=place.org)
        upload = await self.author.create(
            filename="a.jpg", owner=owner, project_id=project or place.project, **spec
        )
        if place.resource == "media":
            await self.grant(f"media:{upload.media_id}")
        return upload


# What makes a target, by name.


async def nothing(_: World, place: Place) -> Target:
    return {"organization": place.org}


async def media(world: World, place: Place) -> Target:
    return {"media": await world.add_media(place)}


async def two_media(world: World, place: Place) -> Target:
    return {"media": await world.add_media(place), "other": await world.add_media(place)}


async def duplicated(world: World, place: Place) -> Target:
    media_id, other_id = sorted([await world.add_media(place), await world.add_media(place)])
    await world.execute("insert into duplicates values (%s, %s)", media_id, other_id)
    return {"media": media_id}


async def deleted_media(world: World, place: Place) -> Target:
    media_id = await world.add_media(place)
    await world.execute(
        "update media set delete_time = now(), purge_time = now() + interval '1 day'"
        " where media_id = %s",
        media_id,
    )
    return {"media": media_id}


async def replaced_media(world: World, place: Place) -> Target:
    """A media with two versions."""
    media_id = await world.add_media(place)
    for statement in (
        "insert into media_versions (media_id, version, blob_id, content_type)"
        " select media_id, 2, blob_id, content_type from media_versions where media_id = %s",
        "update blobs set reference_count = reference_count + 1 where blob_id ="
        " (select blob_id from media_versions where media_id = %s and version = 2)",
        "update media_versions set state = 'READY', kind = 'IMAGE'"
        " where media_id = %s and version = 1",
        "update media set version = 2, latest_version = 2, other_bytes = size_bytes"
        " where media_id = %s",
    ):
        await world.execute(statement, media_id)
    return {"media": media_id}


async def stream(world: World, place: Place) -> Target:
    media_id, stream_id = await world.add_media(place), new_id()
    await world.execute(
        "insert into streams (stream_id, media_id, job_id, ready, ladder)"
        " values (%s, %s, %s, true, '{}')",
        *(stream_id, media_id, new_id()),
    )
    await world.execute(
        "insert into stream_segments (stream_id, track, number, blob_id, duration, first_bytes)"
        " select %s, 'a1', 0, v.blob_id, 1, 1 from media_versions v where v.media_id = %s",
        *(stream_id, media_id),
    )
    return {"media": media_id, "stream": stream_id}


async def listed(world: World, place: Place) -> Target:
    """A media, an upload and a job in a project of their own."""
    project = new_project()
    await world.add_project(project, place.org)
    job_id, media_id = await world.add_job(place, "SUCCEEDED", project)
    upload = await world.add_upload(place, project)
    return {"project": project, "media": media_id, "job": job_id, "upload": upload.upload_id}


async def upload(world: World, place: Place) -> Target:
    return {"upload": (await world.add_upload(place)).upload_id}


async def written_upload(world: World, place: Place) -> Target:
    made = await world.add_upload(place)
    message = upload_service_pb2.WriteUploadRequest(upload_id=made.upload_id, data=jpeg())
    await world.author.write([message])
    return {"upload": made.upload_id}


async def signed_part(world: World, place: Place) -> Target:
    made = await world.add_upload(place)
    part = upload_pb2.Part(part_number=1, size_bytes=len(jpeg()))
    (found,) = (await sign(world.author, made.upload_id, part)).parts
    return {"token": found.url.rpartition("/")[2]}


async def signed_link(world: World, place: Place) -> Target:
    return {"token": await link(world.author, await world.add_media(place))}


async def archive(world: World, place: Place) -> Target:
    created = await create_archive(world.author, await world.add_media(place))
    return {"archive": created.archive_id}


async def signed_archive(world: World, place: Place) -> Target:
    created = await create_archive(world.author, await world.add_media(place))
    return {"token": created.url.split("/")[-2]}


async def published(world: World, _: Place) -> Target:
    return {"path": world.public_path}


async def queued_job(world: World, place: Place) -> Target:
    return {"job": (await world.add_job(place, "QUEUED"))[0]}


async def failed_job(world: World, place: Place) -> Target:
    return {"job": (await world.add_job(place, "FAILED"))[0]}


async def project(world: World, place: Place) -> Target:
    project_id = new_project()
    await world.add_project(project_id, place.org)
    return {"project": project_id, "organization": place.org}


async def collection(world: World, place: Place) -> Target:
    """A collection of the author in the project of the place, with a media of theirs, which nobody
    else sees otherwise."""
    collection_id, elsewhere = new_id(), replace(place, project="")
    media_id = await world.add_media(elsewhere)
    await world.execute(
        "insert into collections (collection_id, org_id, owner_type, owner_id, project_id, path,"
        " title) values (%s, %s, %s, %s, %s, array[%s::uuid], 'Album')",
        *(collection_id, place.org, *place.owner, place.project, collection_id),
    )
    await world.execute(
        "insert into collection_members (collection_id, media_id, position, shared)"
        " values (%s, %s, 1, true)",
        *(collection_id, media_id),
    )
    if place.resource == "collection":
        await world.grant(f"collection:{collection_id}")
    return {"collection": collection_id, "media": media_id}


async def organization(world: World, _: Place) -> Target:
    """An empty organization, which no service account is in."""
    name = f"org-{uuid4().hex[:8]}"
    await world.execute("insert into organizations (organization_id) values (%s)", name)
    for user, role in {"member": 0, **ROLES}.items():
        await world.put(f"organization:{name}", f"user:{user}", role)
    return {"organization": name}


async def group(world: World, place: Place) -> Target:
    group_id = f"editors-{uuid4().hex[:8]}"
    await world.execute(
        "insert into groups (group_id, org_id) values (%s, %s)", group_id, place.org
    )
    return {"group": group_id, "organization": place.org}


async def account(world: World, place: Place) -> Target:
    return {"account": await world.service_account(place.org)}


async def api_key(world: World, place: Place) -> Target:
    account_id, key_id = await world.service_account(place.org), new_id()
    await world.api_key(account_id, None, key_id=key_id)
    return {"account": account_id, "key": key_id}


async def share_link(world: World, place: Place) -> Target:
    """Of the author, to a media that they own."""
    target = await media(world, place)
    made = await share(world.author, f"media:{target['media']}")
    return {**target, "link": made.share_link.share_link_id, "secret": made.secret}


async def webhook(world: World, place: Place) -> Target:
    """Of the author, of a project in the organization."""
    target, webhook_id = await project(world, place), new_id()
    await world.execute(
        "insert into webhooks (webhook_id, resource, org_id, owner_type, owner_id, claimed_org_id,"
        " claimed_issuer, url, types, description, secret)"
        " values (%s, %s, %s, %s, %s, '', '', 'https://hooks.example.com/', '{}', '', '')",
        *(webhook_id, f"project:{target['project']}", place.org, *place.owner),
    )
    return {**target, "webhook": webhook_id}


async def delivery(world: World, place: Place) -> Target:
    """An event in the log of a webhook."""
    target, event_id = await webhook(world, place), new_id()
    await world.execute(
        "insert into webhook_deliveries (webhook_id, event_id, event_type)"
        " values (%s, %s, 'media.ready')",
        *(target["webhook"], event_id),
    )
    return {**target, "event": event_id}


async def erasure(world: World, _: Place) -> Target:
    erasure_id = new_id()
    await world.execute(
        "insert into erasures (erasure_id, pseudonym, names) values (%s, %s, '{}')",
        *(erasure_id, new_id()),
    )
    return {"erasure": erasure_id}


def new_project() -> str:
    return f"vacation-{uuid4().hex[:8]}"


def unknown(target: Mapping[str, str]) -> Target:
    """Values of the same form that name nothing."""
    return {name: value[:-8] + uuid4().hex[:8] for name, value in target.items()}


@asynccontextmanager
async def running_world(
    database_url: str, folder: Path, forks: Any
) -> AsyncIterator[tuple[World, int]]:
    """A server with the things and the callers of the matrix, and its port."""
    own = {f"MEDIA_{name.upper()}": value for name, value in SETTINGS.items()}
    config = load(
        {
            "MEDIA_DATA_DIR": str(folder),
            "MEDIA_DATABASE_URL": database_url,
            "MEDIA_DATABASE_POOL_SIZE": "8",
            "MEDIA_JWT_SECRET": SECRET,
            "MEDIA_THUMBNAILS": "small=16",
            "MEDIA_RATE_CALLER": "off",
            "MEDIA_RATE_ADDRESS": "off",
            **NO_PRESETS,
            **own,
        }
    )
    async with (
        app.server(config, 0, forks=forks) as server,
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as db,
        grpc.aio.insecure_channel(address := f"127.0.0.1:{server.port}") as channel,
    ):
        world = World(db, Caller(address, channel, bearer(AUTHOR)))
        await world.found()
        await world.add_links(address)
        worker = asyncio.create_task(app.work(config, lambda: None, forks=forks))
        try:
            await prepare(world)
        finally:
            worker.cancel()
            await asyncio.wait([worker])
        yield world, server.port


async def prepare(world: World) -> None:
    """Stores what the worker must have seen."""
    author = world.author
    media_id = (await author.store(jpeg())).media_id
    public = upload_service_pb2.WriteUploadRequest(data=jpeg(), finish=True)
    public.spec.visibility = Media.PUBLIC
    published_id = (await author.write([public])).media.media_id
    job = await process(author, media_id, "resize:8x")
    async with asyncio.timeout(60):
        while (await get(author, media_id)).state != Media.READY:
            await asyncio.sleep(0.05)
        while not world.public_path:
            for rendition in (await get(author, published_id)).renditions:
                world.public_path = rendition.public_url.partition("/v1/public/")[2]
            await asyncio.sleep(0.05)
    await world.execute("update blobs set reference_count = 1000000")  # copies share them
    world.originals = dict.fromkeys(MIGRATED, media_id) | {"jobs": job.job_id}
    for table in MIGRATED:
        rows = await world.db.execute(
            "select column_name from information_schema.columns where table_name = %s"
            " and is_generated = 'NEVER' order by ordinal_position",
            (table,),
        )
        world.columns[table] = [name for (name,) in await rows.fetchall()]
