"""The role on a collection, lists of collections, and what collections share agree with a model,
for the random worlds of the tests of access."""

from dataclasses import dataclass, replace
from random import Random

import pytest

from media_service.access.principal import LINK, LinkMode, Principal
from media_service.access.role import Role
from media_service.collections import queries
from media_service.collections.model import Member, NewCollection
from media_service.db.database import Database
from media_service.db.transaction import Connection
from media_service.ids import new_id
from media_service.media import queries as media_queries
from media_service.media.model import Total
from media_service.media.paging import parse_order
from media_service.media.selection import select
from media_service.share_links import queries as share_links
from media_service.share_links.model import NewLink
from tests.support.access_model import (
    PROJECTS,
    USERS,
    World,
    build,
    keys_of,
    model_role,
    random_owner,
    random_world,
)
from tests.support.long_form import examples


@dataclass(frozen=True)
class Album:
    new: NewCollection
    members: set[str]
    shared: set[str]

    @property
    def keys(self) -> set[str]:
        owner = self.new.owner
        return {
            *(f"collection:{each}" for each in (*self.new.parent_path, self.new.collection_id)),
            f"project:{self.new.project_id}",
            f"owner:{owner.org_id}/{owner.type}:{owner.id}",
            f"organization:{owner.org_id}",
        }


async def random_albums(db: Connection, world: World, random: Random) -> list[Album]:
    albums: list[Album] = []
    for _ in range(8):
        if albums and random.random() < 0.5:
            parent = random.choice(albums).new
            owner, project = parent.owner, parent.project_id
            path = [*parent.parent_path, parent.collection_id][:4]
        else:
            project, path = random.choice(["", *PROJECTS]), []
            organizations = [world.projects[project].org_id] if project else ["", "acme", "globex"]
            owner = random_owner(random, organizations)
        new = NewCollection(new_id(), owner, project, path, "", "", "")
        await queries.insert(db, new)
        some = random.sample(world.media, random.randint(0, 4))
        members = [Member(each.media_id, random.random() < 0.7) for each in some]
        await queries.put(db, new.collection_id, members, "")
        same = {each.media_id for each in world.media if each.owner.org_id == owner.org_id}
        shared = {m.media_id for m in members if m.shared} & same
        albums.append(Album(new, {m.media_id for m in members}, shared))
    return albums


@pytest.mark.parametrize("batch", range(examples(1, 50)))
async def test_collections_agree_with_the_model(database: Database, batch: int) -> None:
    shared = by_links = 0
    for seed in range(batch * 6, batch * 6 + 6):
        random = Random(seed)  # noqa: S311
        world = random_world(random)
        async with database.transaction() as db:
            await build(db, world)
            albums = await random_albums(db, world, random)
            grants = dict(world.grants)
            for album in random.sample(albums, 3):
                resource = f"collection:{album.new.collection_id}"
                grantee = random.choice(
                    [*(f"user:{user}" for user in USERS), "group:g1", "project:p1", "everybody"]
                )
                grants[resource, grantee] = role = random.randint(1, 5)
                await db.execute(
                    "insert into access_grants (resource, grantee, role) values (%s, %s, %s)",
                    (resource, grantee, role),
                )
        world = replace(world, grants=grants)
        async with database.connection() as db:
            for caller in world.callers:
                shared += await compare(db, world, albums, caller)
            by_links += await compare_links(db, world, albums, random)
    assert shared, "a collection shares media with somebody who would not see them otherwise"
    assert by_links, "a link to a collection shares media"


async def filtered(db: Connection, caller: Principal, text: str) -> set[str]:
    may, where = await select(db, caller, text)
    found = await media_queries.page(db, may, where, parse_order(""), 20)
    assert await media_queries.count(db, may, where) == Total(len(found))
    return {each.media.media_id for each in found}


async def compare(db: Connection, world: World, albums: list[Album], caller: Principal) -> int:
    roles = {
        album.new.collection_id: model_role(world, caller, album.new.owner, album.keys)
        for album in albums
    }
    found = {each: await queries.get(db, each, caller) for each in roles}
    assert {name: each.role for name, each in found.items() if each} == roles
    listed: list[str] = []
    after = None
    for _ in albums:
        page = await queries.page(db, caller, parent_id="", project_id="", after=after, limit=2)
        listed += [each.collection_id for each in page]
        if page:
            after = (page[-1].create_time, page[-1].collection_id)
    assert sorted(listed) == sorted(name for name, role in roles.items() if role)
    by_collection = {
        media_id for album in albums for media_id in album.shared if roles[album.new.collection_id]
    }
    own = {m.media_id: model_role(world, caller, m.owner, keys_of(m)) for m in world.media}
    wanted = {name: role or int(name in by_collection) for name, role in own.items()}
    asked = await media_queries.get_asked(db, [(media_id, caller) for media_id in own])
    assert {each.media_id: each.role for each in asked if each} == wanted
    for album in albums:
        text = f"collection={album.new.collection_id}"
        seen = bool(roles[album.new.collection_id])
        shared = album.shared if seen else set()
        members = {name for name in album.members if own[name]} if seen else set()
        assert await filtered(db, caller, text) == members | shared
        either = {name for name, role in own.items() if role} | shared
        assert await filtered(db, caller, f"filename=a.png OR {text}") == either
    return sum(wanted[name] > own[name] for name in own)


async def compare_links(db: Connection, world: World, albums: list[Album], random: Random) -> int:
    """A link to a collection shows it and those in it, and what they share, while its creator is
    MANAGER of it."""
    number = 0
    for album in albums:
        creator = random.choice(world.callers)
        owner, target = album.new.owner, album.new.collection_id
        lasting = replace(creator, administrator=False)
        managed = model_role(world, lasting, owner, album.keys) >= Role.MANAGER
        inside = {
            each.new.collection_id: each.shared
            for each in albums
            if managed and f"collection:{target}" in each.keys
        }
        new = NewLink(targets=[f"collection:{target}"], mode=LinkMode.DOWNLOAD)
        link = Principal(new_id(), owner.org_id, type=LINK, link_mode=new.mode)
        secret = random.randbytes(32)
        await share_links.insert(db, link.subject, secret, new, owner.org_id, creator, None)
        page = await queries.page(db, link, parent_id="", project_id="", after=None, limit=50)
        assert {each.collection_id for each in page} == inside.keys()
        for each in albums:
            found = await queries.get(db, each.new.collection_id, link)
            wanted = Role.VIEWER if each.new.collection_id in inside else Role.NONE
            assert found
            assert found.role == wanted
        asked = await media_queries.get_asked(db, [(each.media_id, link) for each in world.media])
        readable = {each.media_id for each in asked if each and each.role}
        assert readable == {media_id for shared in inside.values() for media_id in shared}
        number += len(readable)
    return number
