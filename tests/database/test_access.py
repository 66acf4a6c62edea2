"""The role on one thing and the lists of things agree with a model, for random organizations,
projects, groups, grants, expiries, claims and share links."""

import re
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from random import Random

import pytest

from media_service.access.lists import Key, after_sql, page_of, page_of_much
from media_service.access.policy import Condition, scope
from media_service.access.principal import LINK, LinkMode, Principal
from media_service.access.queries import CALLER, Scope, caller_params, visible
from media_service.access.role import Role
from media_service.credentials import queries as credentials
from media_service.db.database import Database
from media_service.db.transaction import Connection
from media_service.ids import new_id
from media_service.media import queries
from media_service.media.filter import parse_filter
from media_service.media.model import Total
from media_service.share_links import queries as share_links
from media_service.share_links.model import NewLink
from media_service.sharing import queries as sharing
from media_service.sharing.model import Grant
from media_service.uploads import queries as uploads
from tests.support.access_model import (
    ORGANIZATIONS,
    World,
    build,
    keys_of,
    model_role,
    random_world,
)
from tests.support.long_form import examples

VISIBLE = visible("m", "media_id")
READING = [LinkMode.VIEW, LinkMode.DOWNLOAD]
NEWEST = (Key("create_time", True), Key("media_id", True))


@pytest.mark.parametrize("batch", range(examples(2, 100)))
async def test_roles_and_lists_agree_with_the_model(database: Database, batch: int) -> None:
    for seed in range(batch * 15, batch * 15 + 15):
        world = random_world(Random(seed))  # noqa: S311
        async with database.transaction() as db:
            await build(db, world)
        async with database.connection() as db:
            await compare(db, world, seed)


async def read_by(db: Connection, caller: Principal) -> set[str]:
    may = scope(caller)
    query = f"with {may.sql} select media_id::text as id from media m where {VISIBLE}"  # noqa: S608
    rows = await db.execute(query.encode(), may.params)
    return {row["id"] async for row in rows}


def targets_of(world: World, random: Random) -> Iterator[tuple[str, list[str]]]:
    """Several media of each organization, and each project, with their organizations."""
    for org in ("", *ORGANIZATIONS):
        some = [f"media:{each.media_id}" for each in world.media if each.owner.org_id == org]
        if some:
            yield org, random.sample(some, random.randint(1, len(some)))
    for project, owner in world.projects.items():
        yield owner.org_id, [f"project:{project}"]


@pytest.mark.parametrize("batch", range(examples(1, 30)))
async def test_share_links_agree_with_the_model(database: Database, batch: int) -> None:
    """A link shows the targets on which its creator is MANAGER, and nothing else."""
    shown = 0
    for seed in range(batch * 10, batch * 10 + 10):
        random = Random(seed)  # noqa: S311
        world = random_world(random)
        async with database.transaction() as db:
            await build(db, world)
        async with database.connection() as db:
            for org, targets in targets_of(world, random):
                creator = random.choice(world.callers)
                lasting = replace(creator, administrator=False)
                shared = {
                    each.media_id
                    for each in world.media
                    if f"media:{each.media_id}" in targets
                    and model_role(world, lasting, each.owner, keys_of(each)) >= Role.MANAGER
                }
                for project, owner in world.projects.items():
                    keys = {f"project:{project}", f"organization:{owner.org_id}"}
                    managed = model_role(world, lasting, owner, keys) >= Role.MANAGER
                    if f"project:{project}" in targets and managed:
                        shared |= {m.media_id for m in world.media if m.project_id == project}
                new = NewLink(targets=targets, mode=random.choice(READING))
                link_id = new_id()
                secret = random.randbytes(32)
                await share_links.insert(db, link_id, secret, new, org, creator, None)
                link = Principal(link_id, org, type=LINK, link_mode=new.mode)
                asked = [(each.media_id, link) for each in world.media]
                asked += [(world.media[0].media_id, creator)]  # in one statement with others
                found = [each for each in (await queries.get_asked(db, asked))[:-1] if each]
                roles = {each.media_id: each.role for each in found}
                assert roles == {
                    each.media_id: Role.VIEWER if each.media_id in shared else Role.NONE
                    for each in world.media
                }, (seed, targets)
                assert await read_by(db, link) == shared, (seed, targets)
                page = await queries.page(db, scope(link), [], NEWEST, 50)
                assert {each.media.media_id for each in page} == shared, (seed, targets)
                assert await queries.count(db, scope(link), []) == Total(len(shared))
                shown += len(shared)
                await share_links.revoke(db, link_id)
                assert await read_by(db, link) == set()
    assert shown


async def compare(db: Connection, world: World, seed: int) -> None:
    for caller in world.callers:
        wanted = {
            each.media_id: model_role(world, caller, each.owner, keys_of(each))
            for each in world.media
        }
        found = await queries.get_asked(db, [(media_id, caller) for media_id in wanted])
        roles = {media.media_id: media.role for media in found if media}
        assert roles == wanted, (seed, caller)
        await compare_projects(db, world, caller)
        for minimum in (Role.VIEWER, Role.MANAGER):
            may = scope(caller, minimum)
            visible_ids = {media_id for media_id, role in wanted.items() if role >= minimum}
            query = f"with {may.sql} select media_id::text as id from media m where {VISIBLE}"  # noqa: S608
            rows = await db.execute(query.encode(), may.params)
            assert {row["id"] async for row in rows} == visible_ids, (seed, caller)
            listed: list[str] = []
            where: list[Condition] = []
            for _ in world.media:  # in pages of two, so that few projects are many
                page = await queries.page(db, may, where, NEWEST, 2)
                listed += [each.media.media_id for each in page]
                if page:
                    where = [after_sql("m", NEWEST, page[-1].key)]
            assert (len(listed), set(listed)) == (len(visible_ids), visible_ids), (seed, caller)
            assert await queries.count(db, may, []) == Total(len(visible_ids)), (seed, caller)
            assert await read_as_many(db, may) == visible_ids, (seed, caller)


async def read_as_many(db: Connection, may: Scope) -> set[str]:
    """What lists of callers have who see very many media."""
    page = page_of_much(queries.TABLE, may, [], NEWEST, 50)
    query = f"with {page.sql} select id::text as id from page"  # noqa: S608
    return {row["id"] async for row in await db.execute(query.encode(), page.params)}


async def compare_projects(db: Connection, world: World, caller: Principal) -> None:
    wanted = {
        project: model_role(
            world, caller, owner, {f"project:{project}", f"organization:{owner.org_id}"}
        )
        for project, owner in world.projects.items()
    }
    roles = {name: await sharing.project(db, name, caller) for name in wanted}
    assert {name: found.role for name, found in roles.items() if found} == wanted, caller
    listed: list[tuple[str, int]] = []
    after = None
    for _ in wanted:
        page = await sharing.project_page(db, scope(caller), None, after, 2)
        listed += [(each.project_id, each.role) for each in page]
        if page:
            after = (page[-1].create_time, page[-1].project_id)
    visible_roles = {name: role for name, role in wanted.items() if role}
    assert (len(listed), dict(listed)) == (len(visible_roles), visible_roles), caller


async def test_each_container_is_read_from_an_index(database: Database) -> None:
    page = page_of(queries.TABLE, scope(Principal("ann")), [], NEWEST, 51)
    async with database.transaction() as db:
        await db.execute("set local enable_seqscan = off")
        query = f"explain with {page.sql} select * from page"  # noqa: S608
        rows = await db.execute(query.encode(), page.params)
        plan = "\n".join([row["QUERY PLAN"] async for row in rows])
    for condition in ("project_id = c", "owner_id = c", "org_id = c", "media_id = c"):
        assert re.search(rf"Index Cond: .*\b{condition}", plan), condition


async def test_lists_read_only_what_the_caller_may_see(database: Database) -> None:
    ann = Principal("ann")
    async with database.transaction() as db:
        for statement in (
            "insert into organizations (organization_id) select 'o' || n from numbers",
            "insert into projects (project_id, owner_type, owner_id)"
            " select 'p' || n, 'user', 'u' || n from numbers",
            "insert into service_accounts (service_account_id, owner_type, owner_id, display_name)"
            " select gen_random_uuid(), 'user', 'u' || n, '' from numbers",
            "insert into api_keys (api_key_id, service_account_id, owner_type, owner_id, prefix,"
            " secret_hash) select gen_random_uuid(), a.service_account_id, a.owner_type,"
            " a.owner_id, a.owner_id, sha256('') from service_accounts a",
        ):
            numbers = "with numbers as (select n from generate_series(1, 20000) n)"
            await db.execute(f"{numbers} {statement}".encode())
        await db.execute("analyze organizations, projects, service_accounts, api_keys")
        await sharing.insert_project(db, "own", ann.owner, "")
        await sharing.put_grant(db, Grant("organization:o7", ann.grantee, Role.VIEWER))
        await sharing.put_grant(db, Grant("project:p7", ann.grantee, Role.VIEWER))
        await credentials.insert_account(db, account_id := new_id(), ann.owner, "own")
        key = (new_id(), account_id, "own", sha256().digest(), "", None, None)
        await credentials.insert_key(db, *key)
        before = await rows_read(db)
        organizations = await sharing.organization_page(db, scope(ann), None, 50)
        projects = await sharing.project_page(db, scope(ann), None, None, 50)
        accounts = await credentials.account_page(db, scope(ann, Role.MANAGER), None, 50)
        keys = await credentials.key_page(db, scope(ann, Role.MANAGER), None, None, None, 50)
        read = await rows_read(db) - before
    assert [each.organization_id for each in organizations] == ["o7"]
    assert {each.project_id for each in projects} == {"own", "p7"}
    assert [each.display_name for each in accounts] == ["own"]
    assert [each.prefix for each in keys] == ["own"]
    assert read < 100


async def rows_read(db: Connection) -> int:
    """Of the tables that are listed, in this transaction."""
    rows = await db.execute(
        "select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int as number"
        " from pg_stat_xact_user_tables"
        " where relname in ('organizations', 'projects', 'service_accounts', 'api_keys')"
    )
    row = await rows.fetchone()
    assert row
    return int(row["number"])


@pytest.mark.parametrize("callers", [1, 30])
async def test_the_plan_of_a_read_is_kept(database: Database, callers: int) -> None:
    """PostgreSQL plans a statement with parameters for each execution until it sees, after five of
    them, that a plan for all parameters is as good."""
    asked = [(new_id(), Principal(f"user-{number}")) for number in range(callers)]
    async with database.connection() as db:
        for number in range(9):
            await queries.get_asked(db, asked[: max(1, callers - number)])
        rows = await db.execute(
            "select generic_plans, custom_plans from pg_prepared_statements"
            " where statement like '%role_of(%'"
        )
        (plans,) = [(row["generic_plans"], row["custom_plans"]) async for row in rows]
    assert plans == (3, 5)


async def test_the_predicate_is_planned_once_for_all_statements(database: Database) -> None:
    caller = Principal("ann")
    async with database.connection() as db:
        for query, params in (
            queries.ASKED[False, False].of([(new_id(), caller)]),
            (
                f"select {uploads.ROLE} from {CALLER} cross join uploads u".encode(),  # noqa: S608
                caller_params(caller),
            ),
        ):
            rows = await db.execute(b"explain " + query, params)
            assert "access_grants" not in "\n".join([row["QUERY PLAN"] async for row in rows])


@pytest.mark.parametrize("filter_text", ["tags:sea", "kind=IMAGE AND width>4000", "NOT tags:sea"])
async def test_a_filter_reads_index_entries_and_no_rows(
    database: Database, filter_text: str
) -> None:
    condition = parse_filter(filter_text)
    assert condition
    page = page_of(queries.TABLE, scope(Principal("ann")), [condition], NEWEST, 51)
    async with database.transaction() as db:
        await db.execute("set local enable_seqscan = off")
        await db.execute("set local enable_bitmapscan = off")
        query = f"explain with {page.sql} select * from page"  # noqa: S608
        rows = await db.execute(query.encode(), page.params)
        plan = "\n".join([row["QUERY PLAN"] async for row in rows])
    for index in ("media_by_project", "media_by_owner"):
        assert f"Index Only Scan using {index}" in plan
        assert f"Index Scan using {index}" not in plan
