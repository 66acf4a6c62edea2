"""Lists of a large catalog read few rows, from indexes, however many there are.

`make soak` has a million media, `make test` a slice of them.
"""

from collections.abc import Iterator

import pytest

from benchmarks.rows import EVERYWHERE, FIVE, MEDIA, ONE, OWNER, PROJECTS, SINGLE, fill
from media_service.access.lists import after_sql, page_of_much
from media_service.access.policy import Condition
from media_service.access.principal import Principal
from media_service.access.queries import scope_of
from media_service.access.role import Role
from media_service.db.database import Database
from media_service.media import queries
from media_service.media.filter import parse_filter
from media_service.media.paging import parse_order
from tests.support.databases import CleanDatabases
from tests.support.long_form import LONG_FORM
from tests.support.plans import Explaining, rows_read, scanned

SLICE = 10_000
PAGE = 50
# A page of each project, the page itself, and deleted media in between.
ONCE = (PROJECTS + 2) * PAGE
# Caller, filter, order, and how many rows of media a page may read.
LISTS = [
    (EVERYWHERE, "", "", ONCE),
    (EVERYWHERE, "kind=IMAGE AND width>=4000", "", 2 * ONCE),
    (EVERYWHERE, "tags:approved", "", 6 * ONCE),
    (EVERYWHERE, "tags:shoot-300", "", 3 * ONCE),
    (EVERYWHERE, 'labels.client="c-7"', "", 2 * ONCE),
    (EVERYWHERE, "", "capture_time desc", ONCE),
    (EVERYWHERE, "", "size_bytes desc", ONCE),
    (FIVE, "kind=VIDEO", "size_bytes desc", 12 * PAGE),
    (ONE, "", "capture_time desc", 3 * PAGE),
    (ONE, "tags:approved AND visibility=PUBLIC", "", 3000),
    (SINGLE, "kind=IMAGE", "", 1500),
    (OWNER, "", "capture_time desc", 3 * PAGE),
]


@pytest.fixture(scope="module")
def catalog(databases: CleanDatabases) -> Iterator[str]:
    """URL of a database with the catalog."""
    with databases.take() as url:
        fill(url, MEDIA if LONG_FORM else SLICE)
        yield url


@pytest.mark.timeout(900)  # a million media take minutes
@pytest.mark.parametrize(("caller", "filter_text", "order", "most"), LISTS)
async def test_a_page_reads_few_rows_from_indexes(
    catalog: str, caller: str, filter_text: str, order: str, most: int
) -> None:
    keys = parse_order(order)
    where = [Condition("m.delete_time is null", ())]
    if condition := parse_filter(filter_text):
        where.append(condition)
    scope = scope_of(Principal(caller), Role.VIEWER)
    async with Database(catalog, 2) as database, database.transaction() as db:
        # Of a table as small as the slice, everything is read as fast.
        await db.execute(f"set local enable_seqscan = {'on' if LONG_FORM else 'off'}".encode())
        explaining = Explaining(db)
        first = await queries.page(explaining.connection, scope, where, keys, PAGE)
        after = [after_sql("m", keys, first[-1].key)]
        second = await queries.page(explaining.connection, scope, where, keys, PAGE, after)
    assert len(first) == PAGE or not LONG_FORM
    assert not {media.media.media_id for media in first} & {m.media.media_id for m in second}
    for plan in explaining.plans:
        assert not scanned(plan) & {"media", "media_versions", "blobs", "access_grants"}
        if LONG_FORM or not filter_text:  # in the slice, few rows of each project pass a filter
            assert rows_read(plan, "media") <= most


@pytest.mark.timeout(900)
@pytest.mark.parametrize("caller", [EVERYWHERE, FIVE, OWNER])
@pytest.mark.parametrize("order", ["filename", "title desc", "rating desc"])
async def test_orders_of_organizations_are_read_in_order(
    catalog: str, caller: str, order: str
) -> None:
    """Those who see a tenth of the organization find one row of ten."""
    live = Condition("m.delete_time is null", ())
    scope = scope_of(Principal(caller), Role.VIEWER)
    page = page_of_much(queries.TABLE, scope, [live], parse_order(order), PAGE)
    async with Database(catalog, 2) as database, database.transaction() as db:
        await db.execute(f"set local enable_seqscan = {'on' if LONG_FORM else 'off'}".encode())
        explaining = Explaining(db)
        query = f"with {page.sql} select * from page"  # noqa: S608
        rows = await explaining.execute(query.encode(), page.params)
        assert rows.rowcount == PAGE
    (plan,) = explaining.plans
    assert not scanned(plan) & {"media", "access_grants"}
    assert rows_read(plan, "media") <= 30 * PAGE


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("caller", "most"), [(EVERYWHERE, ONCE), (OWNER, 2 * PAGE)])
async def test_the_trash_reads_only_deleted_media(catalog: str, caller: str, most: int) -> None:
    keys = parse_order("delete_time desc")
    condition = parse_filter("delete_time:*")
    assert condition
    scope = scope_of(Principal(caller), Role.VIEWER)
    async with Database(catalog, 2) as database, database.transaction() as db:
        await db.execute(f"set local enable_seqscan = {'on' if LONG_FORM else 'off'}".encode())
        explaining = Explaining(db)
        found = await queries.page(explaining.connection, scope, [condition], keys, PAGE)
    assert found
    assert all(listed.media.delete_time for listed in found)
    for plan in explaining.plans:
        assert not scanned(plan) & {"media", "media_versions", "blobs", "access_grants"}
        if LONG_FORM or caller == EVERYWHERE:  # in the slice, an owner has few media
            assert rows_read(plan, "media") <= most
