"""Searches and facets find what a model finds, of what the caller may see."""

from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest

from media_service.access.page_tokens import PageTokens
from media_service.access.policy import scope
from media_service.access.principal import Principal
from media_service.access.role import Role
from media_service.db.database import Database
from media_service.db.transaction import Connection
from media_service.media import queries as catalogue
from media_service.search import model, queries
from media_service.search.indexing import put_content, write_due
from media_service.search.model import Dimension, Hit, Order
from media_service.search.service import SearchService
from media_service.search.words import parse_words
from tests.support.access_model import World, build, keys_of, model_role, random_world
from tests.support.long_form import examples

WORDS = ("sea", "lake", "boat")
ALL = list(Dimension)


async def index(database: Database) -> None:
    changed = 1
    while changed:
        async with database.transaction() as tx:
            changed = await write_due(tx)


async def set_field(db: Connection, media_id: str, **values: object) -> None:
    await catalogue.set_fields(db, media_id, values)


async def search(
    database: Database, caller: Principal, query: str, filter_text: str = "", size: int = 50
) -> tuple[list[Hit], model.Hits]:
    """All hits, in pages, and the first page."""
    service = SearchService(database, PageTokens(["secret"]))
    found: list[Hit] = []
    token, first = "", None
    while True:
        hits, token_of, _ = await service.search(
            caller,
            query=query,
            filter_text=filter_text,
            project_id="",
            page_token=token,
            limit=size + 1,
        )
        first = first or hits
        found += hits.hits[:size]
        if len(hits.hits) <= size:
            return found, first
        token = token_of(hits.hits[size - 1])


def ids(hits: Sequence[Hit]) -> list[str]:
    return [hit.media.media_id for hit in hits]


@pytest.mark.parametrize("most", [10_000, 1])
@pytest.mark.parametrize("batch", range(examples(1, 30)))
async def test_searches_agree_with_the_model(
    database: Database, batch: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of more matches than are ranked, and in more projects than the index is asked for."""
    monkeypatch.setattr(queries, "MOST_RANKED", most)
    monkeypatch.setattr(queries, "MOST_PROJECTS", 16 if most > 1 else 0)
    for seed in range(batch * 8, batch * 8 + 8):
        random = Random(seed)  # noqa: S311
        world = random_world(random)
        titles = {each.media_id: random.sample(WORDS, random.randint(0, 3)) for each in world.media}
        async with database.transaction() as tx:
            await build(tx, world)
            for media_id, words in titles.items():
                await set_field(tx, media_id, title=" ".join(words), tags=words[:1])
        await index(database)
        for caller in world.callers:
            await compare(database, world, caller, titles, most)


async def compare(
    database: Database, world: World, caller: Principal, titles: dict[str, list[str]], most: int
) -> None:
    visible = {
        each.media_id: each
        for each in world.media
        if model_role(world, caller, each.owner, keys_of(each)) >= Role.VIEWER
    }
    for query in ("sea", "lake boat", "boat -sea"):
        without = query.split(" -")[1:]
        needed = [word for word in query.split() if not word.startswith("-")]
        wanted = {
            media_id
            for media_id in visible
            if {*needed} <= {*titles[media_id]} and not {*without} & {*titles[media_id]}
        }
        found, first = await search(database, caller, query, size=2)
        assert (len(found), set(ids(found))) == (len(wanted), wanted), (query, caller)
        if not first.approximate:
            assert first.total == len(wanted)
        service = SearchService(database, PageTokens(["secret"]))
        facets = await service.facets(
            caller, query=query, filter_text="", project_id="", dimensions=ALL, most=20
        )
        if most > len(wanted):
            tags = Counter(titles[media_id][0] for media_id in wanted)
            projects = Counter(visible[each].project_id for each in wanted)
            del projects[""]
            counts = {each.dimension: dict(each.counts) for each in facets.facets}
            assert counts[Dimension.TAG] == tags
            assert counts[Dimension.PROJECT] == projects
            assert sum(counts[Dimension.KIND].values()) == facets.counted == len(wanted)
    everything = await SearchService(database, PageTokens(["secret"])).facets(
        caller, query="", filter_text="", project_id="", dimensions=[Dimension.KIND], most=1
    )
    assert everything.counted == min(len(visible), most)
    assert everything.truncated == (len(visible) > most)


@pytest.fixture
async def mine(database: Database) -> list[str]:
    """Ten media of ann, the oldest first."""
    world = random_world(Random(0))  # noqa: S311
    async with database.transaction() as tx:
        await build(tx, world)
        await tx.execute(
            "update media set org_id = '', owner_type = 'user', owner_id = 'ann', project_id = '',"
            " filename = '', original_filename = ''"
        )
        await tx.execute(
            "update media m set create_time = now() - n * interval '1 day' from (select media_id,"
            " row_number() over (order by media_id) as n from media) x"
            " where x.media_id = m.media_id"
        )
        rows = await tx.execute("select media_id::text as id from media order by create_time")
        return [row["id"] async for row in rows]


ANN = Principal("ann")


async def test_what_is_searched_and_how_it_ranks(database: Database, mine: list[str]) -> None:
    async with database.transaction() as tx:
        await set_field(tx, mine[0], metadata={"a": ["deep", {"b": "Größe sea"}], "n": 4711})
        await set_field(tx, mine[1], labels={"where": "sea"})
        await set_field(tx, mine[2], title="By the SEA")
        await set_field(tx, mine[3], filename="IMG_2041 (2).JPG")
        await set_field(tx, mine[4], description="Café de la Gare")
        await put_content(tx, mine[5], "Once upon a time. " * 50 + "The sea was calm.")
        await set_field(tx, mine[5], description="story")
        await set_field(tx, mine[6], title="Łódź sunset", tags=["a%b", "x_y"])
    await index(database)
    found, first = await search(database, ANN, "sea")
    assert (ids(found), first.order) == ([mine[2], mine[1], mine[0], mine[5]], Order.RELEVANCE)
    assert "The sea was" in found[-1].excerpt
    for query, wanted in (
        ("IMG_20", [mine[3]]),
        ("img_2041 (2).jpg", [mine[3]]),
        ("cafe GARE", [mine[4]]),
        ("grosse", [mine[0]]),
        ("4711", [mine[0]]),
        ("lodz", [mine[6]]),
        ("unse", [mine[6]]),
        ("x_y", [mine[6]]),
        ('"upon a time"', [mine[5]]),
        ('"time a upon"', []),
        ("sumset", [mine[6]]),
    ):
        found, first = await search(database, ANN, query)
        assert ids(found) == wanted, query
    assert first.order is Order.SIMILAR
    assert (await search(database, ANN, "sea", "labels.where:*"))[1].total == 1
    assert (await search(database, Principal("bob"), "sea"))[0] == []


async def test_changes_are_found_and_removed_media_are_not(
    database: Database, mine: list[str]
) -> None:
    async def found(query: str) -> list[str]:
        await index(database)
        return ids((await search(database, ANN, query))[0])

    async with database.transaction() as tx:
        for media_id in mine[:3]:
            await set_field(tx, media_id, title="sea")
    assert len(await found("sea")) == 3
    async with database.transaction() as tx:
        await set_field(tx, mine[0], title="lake")
        await catalogue.set_deleted(tx, mine[1], None)
        await tx.execute("update media set delete_time = now() where media_id = %s", (mine[1],))
        await tx.execute("delete from media where media_id = %s", (mine[9],))
    assert (await found("lake"), await found("sea")) == ([mine[0]], [mine[2]])
    async with database.connection() as db:
        rows = await db.execute(
            "select (select count(*) from media_search) as written,"
            " (select count(*) from media_search_due) as due"
        )
        assert await rows.fetchone() == {"written": 9, "due": 0}


async def test_an_upload_adds_nothing_to_the_search_until_a_worker_begins(
    database: Database, mine: list[str]
) -> None:
    await index(database)
    async with database.transaction() as tx:
        await build(tx, random_world(Random(1)))  # noqa: S311
        due = "select count(*) as number from media_search_due"
        assert await (await tx.execute(due.encode())).fetchone() == {"number": 0}
        await tx.execute("update media set state = 'PROCESSING'")
        assert await (await tx.execute(due.encode())).fetchone() == {"number": 10}


async def test_a_locked_media_is_written_later(database: Database, mine: list[str]) -> None:
    async with database.transaction() as tx:
        await tx.execute("delete from media_search")
        await set_field(tx, mine[0], title="sea")
        await set_field(tx, mine[1], title="sea")
    async with database.transaction() as holder:
        await catalogue.lock(holder, mine[0])
        async with database.transaction() as tx:
            await write_due(tx)
        assert ids((await search(database, ANN, "sea"))[0]) == [mine[1]]
    await index(database)
    assert len((await search(database, ANN, "sea"))[0]) == 2


async def test_a_search_reads_only_the_containers_of_the_caller(
    database: Database, mine: list[str]
) -> None:
    async with database.transaction() as tx:
        may = scope(ANN)
        containers = await queries.begin(tx, may)
        match = queries.match_words(parse_words("sea"), contents=True)
        found = queries.found_by(queries.Search(may, containers, match, []))
        rows = await tx.execute(
            f"explain with {found.sql} select from found".encode(), found.params
        )
        plan = "\n".join([row["QUERY PLAN"] async for row in rows])
    assert plan.count("Index Cond: ((containers && ") == 2
