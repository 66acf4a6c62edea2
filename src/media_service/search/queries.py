"""SQL of searches and facets.

Who may see a media is decided in the same statement, by the predicate of lists. The containers in
`media_search`, which may be seconds old, only narrow what is read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.errors import QueryCanceled

from media_service.access.lists import CONTAINERS, Key, page_of_much, params_of, some_of
from media_service.access.policy import Condition
from media_service.access.queries import Scope, visible
from media_service.db.transaction import Connection
from media_service.media.queries import RENDITIONS, TABLE, record, select, signer_url_key
from media_service.search.model import MOST_RANKED, Dimension, Facet, Facets, Hit, Hits, Order
from media_service.search.words import Words

VISIBLE = visible("m", "media_id")
NEWEST = (Key("create_time", descending=True), Key("media_id", descending=True))
# From how similar a word is to one in a name on: one letter of six may be wrong.
SIMILARITY = 0.39
SIMILAR_TIME = "400ms"
# The characters of a document around a match.
BEFORE, EXCERPT = 80, 300

# Of more projects, an index is slower than in their organizations, where the role on each match is
# checked anyway.
MOST_PROJECTS = 16
# The caller's containers, as in `media_search.containers`.
NAMES = """
    select resource as name from reached
    where resource < 'project:' or resource >= 'project;'
       or (select count(*) from projects_of_caller) <= %s
       or exists (
           select from projects p where p.project_id = substr(resource, 9) and p.org_id = ''
       )
    union all
    select 'organization:' || org_id from caller_organizations
    where org_id <> '' and (select count(*) from projects_of_caller) > %s
    union all select 'owner:' || org_id || '/' || owner_type || ':' || owner_id from own
    union all
    select case a.org_id when '' then 'service:' else 'organization:' || a.org_id end
    from administered a
"""


@dataclass(frozen=True, slots=True)
class Match:
    """How media match: conditions on `media_search s`, one of which must be true and each of which
    the index serves, and their rank."""

    conditions: Sequence[Condition]
    rank: Condition

    @property
    def either(self) -> Condition:
        sql = " or ".join(f"({each.sql})" for each in self.conditions)
        return Condition(f"({sql})", params_of(self.conditions))


def match_words(words: Words, *, contents: bool) -> Match:
    """Media with the words, or with names that contain them. `contents`: also in what only the file
    tells."""
    query = "websearch_to_tsquery('simple', search_folded(%s))"
    if not contents:  # words of the other weights
        query = rf"""regexp_replace({query}::text, '(''([^'']|'''')*'')', '\1:ABC', 'g')::tsquery"""
    text = Condition(f"s.document @@ {query}", (words.query,))
    rank = Condition(f"ts_rank(s.document, {query})", (words.query,))
    if not words.substrings:
        return Match([text], rank)
    names = contains(words.substrings)
    both = Condition(
        f"{rank.sql} + case when {names.sql} then 0.1 else 0 end", params_of((rank, names))
    )
    return Match([text, names], both)


def contains(substrings: Sequence[str]) -> Condition:
    sql = " and ".join("s.names like '%%' || search_folded(%s) || '%%'" for _ in substrings)
    return Condition(sql, tuple(map(escaped, substrings)))


def escaped(text: str) -> str:
    """A pattern of LIKE for this text."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def match_similar(words: Sequence[str]) -> Match:
    """Media with names that have similar words."""
    names = " and ".join("s.names %%> search_folded(%s)" for _ in words)
    rank = " + ".join("word_similarity(search_folded(%s), s.names)" for _ in words)
    return Match([Condition(names, tuple(words))], Condition(rank, tuple(words)))


async def begin(db: Connection, scope: Scope) -> list[int]:
    """The containers of the caller. Until the end of the transaction, searches read
    indexes, and their plans are made for these containers: for unknown ones, the planner expects
    that to look for the words everywhere costs less."""
    query = f"""
        with {scope.sql}, {CONTAINERS}
        select set_config('enable_seqscan', 'off', true),
               set_config('plan_cache_mode', 'force_custom_plan', true),
               array(select hashtextextended(n.name, 0) from ({NAMES}) n) as containers
    """
    params = (*scope.params, MOST_PROJECTS, MOST_PROJECTS)
    row = await (await db.execute(query.encode(), params)).fetchone()
    return list(row["containers"]) if row else []


@dataclass(frozen=True, slots=True)
class Search:
    """What a caller searches. `containers`: from `begin`, in the same transaction."""

    scope: Scope
    containers: Sequence[int]
    match: Match
    where: Sequence[Condition]


def found_by(search: Search) -> Condition:
    """Common table expressions. `matching` has the matches in the caller's containers: all, or one
    more than `MOST_RANKED`; then `found` is empty. Otherwise it has what the caller may see of
    them."""
    scope, match, where = search.scope, search.match, search.where
    either = match.either
    rank = f"({match.rank.sql})::float8"
    # One statement for each condition: only then the index also narrows it to the containers.
    indexed = " union ".join(
        f"""(
            select s.media_id, {rank} as rank from media_search s
            where s.containers && %s::bigint[] and {each.sql}
            limit {MOST_RANKED + 1}
        )"""
        for each in match.conditions
    )
    sql = f"""
        {scope.sql}, {CONTAINERS}, matching as materialized ({indexed}
        ), single as (
            select s.media_id, {rank} as rank
            from single_media c join media_search s on s.media_id = c.media_id
            where {either.sql} limit {MOST_RANKED + 1}
        ), found as materialized (
            select m.media_id as id, f.rank, m.create_time
            from (select * from matching union select * from single) f
            join media m on m.media_id = f.media_id
            where (select count(*) from matching) <= {MOST_RANKED}
              and {" and ".join([VISIBLE, *(each.sql for each in where)])}
        )
    """
    inside = Condition("", (list(search.containers),))
    parts = [part for each in match.conditions for part in (match.rank, inside, each)]
    return Condition(sql, (*scope.params, *params_of([*parts, match.rank, either, *where])))


def shown(words: Sequence[str], *, contents: bool) -> Condition:
    """The excerpt of the text of a document: from before the first of the words that is in it."""
    if not contents:
        return Condition("''", ())
    sql = f"""
        coalesce((
            select substr(s.content, greatest(1, min(f.at) - {BEFORE}), {EXCERPT})
            from (select strpos(search_folded(s.content), search_folded(w.word)) as at
                  from unnest(%s::text[]) w (word)) f
            where f.at > 0 and s.content <> ''
        ), '')
    """
    return Condition(sql, (list(words),))


def listed(excerpt: Condition, rank: str, total: str, more: str = "0") -> str:
    """The statement for the hits on a page. `more`: another column."""
    text = f"(select {excerpt.sql} from media_search s where s.media_id = m.media_id)"
    return select(
        RENDITIONS,
        f"{rank} as rank, {total} as total, coalesce({text}, '') as excerpt, {more}, 0",
        "caller cross join page join media m on m.media_id = page.id",
        signer_url_key("caller"),
    )


def hit(row: Mapping[str, Any]) -> Hit:
    return Hit(record(row), row["rank"], row["create_time"], row["excerpt"])


async def best(
    db: Connection,
    search: Search,
    excerpt: Condition,
    after: Sequence[Any],
    limit: int,
    order: Order,
) -> Hits | None:
    """The hits that rank highest, after the one with these values. None: too many match."""
    found = found_by(search)
    later = "where (rank, create_time, id) < (%s, %s, %s)" if after else ""
    query = f"""
        with {found.sql}, page as materialized (
            select * from found {later} order by rank desc, create_time desc, id desc limit %s
        ), hits as (
            {listed(excerpt, "page.rank", "(select count(*) from found)", "page.id as hit_id")}
        )
        select hits.*, matches.many
        from (select count(*) > {MOST_RANKED} as many from matching) matches left join hits on true
        order by hits.rank desc, hits.create_time desc, hits.hit_id desc
    """
    params = (*found.params, *after, limit, *excerpt.params)
    rows = await (await db.execute(query.encode(), params)).fetchall()
    if rows[0]["many"]:
        return None
    hits = [hit(row) for row in rows if row["media_id"]]
    return Hits(hits, order, rows[0]["total"] or 0)


async def similar(
    db: Connection,
    search: Search,
    excerpt: Condition,
    after: Sequence[Any],
    limit: int,
) -> Hits:
    """The hits of `match_similar`. None if it takes longer than `SIMILAR_TIME`: similar words are a
    help, and looking for them among very many names would take seconds."""
    await db.execute(
        "select set_config('pg_trgm.word_similarity_threshold', %s, true),"
        " set_config('statement_timeout', %s, true)",
        (str(SIMILARITY), SIMILAR_TIME),
    )
    await db.execute("savepoint before_similar")
    try:
        found = await best(db, search, excerpt, after, limit, Order.SIMILAR)
        return found or Hits((), Order.SIMILAR, 0)
    except QueryCanceled:
        await db.execute("rollback to before_similar")
        return Hits((), Order.RELEVANCE, 0)


async def too_many(db: Connection, search: Search) -> bool:
    """Whether more match in the caller's containers than are ranked."""
    found = found_by(search)
    query = f"with {found.sql} select count(*) > {MOST_RANKED} as many from matching"
    row = await (await db.execute(query.encode(), found.params)).fetchone()
    return bool(row and row["many"])


def matching_now(match: Match) -> Condition:
    """The condition for media `m` that match."""
    sql = f"select from media_search s where s.media_id = m.media_id and {match.either.sql}"
    return Condition(f"exists ({sql})", match.either.params)


async def newest(
    db: Connection,
    search: Search,
    excerpt: Condition,
    later: Sequence[Condition],
    limit: int,
) -> Hits:
    """The newest hits, where `too_many` match."""
    either = search.match.either
    # Each row is asked, not joined: the planner expects far fewer matches than there are, and would
    # read all of them before the first.
    asked = Condition(
        f"(select {either.sql} from media_search s where s.media_id = m.media_id)", either.params
    )
    page = page_of_much(TABLE, search.scope, [asked, *search.where, *later], NEWEST, limit)
    query = f"""
        with {page.sql}
        {listed(excerpt, "0::float8", "0")}
        order by m.create_time desc, m.media_id desc
    """
    rows = await db.execute(query.encode(), (*page.params, *excerpt.params))
    hits = [hit(row) async for row in rows]
    if not later and len(hits) < limit:  # these are all
        return Hits(hits, Order.NEWEST, len(hits))
    return Hits(hits, Order.NEWEST, MOST_RANKED, approximate=True)


VALUES = {
    Dimension.KIND: "select 'KIND' as dimension, kind as value from counted",
    Dimension.CONTENT_TYPE: "select 'CONTENT_TYPE', content_type from counted",
    Dimension.TAG: "select 'TAG', unnest(tags) from counted",
    Dimension.PROJECT: "select 'PROJECT', project_id from counted where project_id <> ''",
    Dimension.MONTH: (
        "select 'MONTH', to_char(coalesce(capture_time, create_time) at time zone 'UTC', 'YYYY-MM')"
        " from counted"
    ),
}


async def facets(
    db: Connection,
    search: Search | None,
    scope: Scope,
    where: Sequence[Condition],
    dimensions: Sequence[Dimension],
    most: int,
) -> Facets:
    """Counts what the caller may see of the matches, or of all media, by the `most` frequent values
    of each dimension. Of more than `MOST_RANKED` media, it counts so many."""
    if search is None or await too_many(db, search):
        matching = [matching_now(search.match)] if search else []
        some = some_of(TABLE, scope, [*matching, *where], MOST_RANKED + 1)
        found = Condition(f"{some.sql}, found as (select id from page)", some.params)
    else:
        found = found_by(search)
    values = " union all ".join(VALUES[each] for each in dimensions)
    query = f"""
        with {found.sql}, counted as materialized (
            select m.kind, m.content_type, m.tags, m.project_id, m.capture_time, m.create_time
            from (select id from found limit {MOST_RANKED}) f
            join media m on m.media_id = f.id
        ), counts as (
            select dimension, value, count(*) as number,
                   row_number() over (partition by dimension order by count(*) desc, value) as rank
            from ({values}) v (dimension, value) group by dimension, value
        )
        select dimension, value, number, (select count(*) from found) as total
        from counts where rank <= %s + 1 order by dimension, rank
    """
    rows = await (await db.execute(query.encode(), (*found.params, most))).fetchall()
    total = rows[0]["total"] if rows else 0
    lists = {
        each: [(row["value"], row["number"]) for row in rows if row["dimension"] == each]
        for each in dimensions
    }
    return Facets(
        [Facet(each, found[:most], len(found) > most) for each, found in lists.items()],
        min(total, MOST_RANKED),
        total > MOST_RANKED,
    )
