"""Use cases of searches."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from media_service.access.lists import after_sql
from media_service.access.page_tokens import PageTokens
from media_service.access.policy import Condition
from media_service.access.principal import Principal
from media_service.access.queries import Scope
from media_service.db.database import Database
from media_service.db.transaction import Connection
from media_service.media.selection import select
from media_service.search import queries
from media_service.search.model import Dimension, Facets, Hit, Hits, Order
from media_service.search.queries import Search
from media_service.search.words import Words, parse_words

# The values in page tokens.
TOKEN = [str, float, datetime, UUID]


class SearchService:
    """Searches what the caller may see."""

    def __init__(self, database: Database, page_tokens: PageTokens) -> None:
        self._database = database
        self._page_tokens = page_tokens

    async def search(
        self,
        principal: Principal,
        *,
        query: str,
        filter_text: str,
        project_id: str,
        page_token: str,
        limit: int,
    ) -> tuple[Hits, Callable[[Hit], str], Words]:
        """Returns the media that match, a function that returns the token of the page after a given
        one, and the words of the query. Raises InvalidArgument (INVALID_FIELD, INVALID_FILTER,
        INVALID_PAGE_TOKEN)."""
        words = parse_words(query)
        binding = ("search", principal.owner, query, filter_text, project_id)
        after: list[Any] = []
        order = Order.RELEVANCE
        if page_token:
            name, *after = self._page_tokens.open(binding, page_token, TOKEN)
            order = Order(name)
        hits = await self._hits(principal, words, filter_text, project_id, order, after, limit)

        def token(hit: Hit) -> str:
            values = [hits.order, hit.rank, hit.create_time, hit.media.media_id]
            return self._page_tokens.seal(binding, values)

        return hits, token, words

    async def _hits(
        self,
        principal: Principal,
        words: Words,
        filter_text: str,
        project_id: str,
        order: Order,
        after: Sequence[Any],
        limit: int,
    ) -> Hits:
        contents = principal.may_download
        excerpt = queries.shown(words.wanted, contents=contents)
        async with self._database.transaction() as db:
            may, where = await conditions(db, principal, filter_text, project_id)
            containers = await queries.begin(db, may)
            match = queries.match_words(words, contents=contents)
            search = Search(may, containers, match, where)
            if order is Order.RELEVANCE:
                hits = await queries.best(db, search, excerpt, after, limit, order)
                if after:  # what was added since the first page does not change the order
                    return hits or Hits((), order, 0)
                if hits is None:
                    order = Order.NEWEST
                elif hits.hits:
                    return hits
            if order is Order.NEWEST:
                later = [after_sql("m", queries.NEWEST, after[1:])] if after else []
                return await queries.newest(db, search, excerpt, later, limit)
            if not words.similar:
                return Hits((), Order.RELEVANCE, 0)
            search = replace(search, match=queries.match_similar(words.similar))
            return await queries.similar(db, search, excerpt, after, limit)

    async def facets(
        self,
        principal: Principal,
        *,
        query: str,
        filter_text: str,
        project_id: str,
        dimensions: Sequence[Dimension],
        most: int,
    ) -> Facets:
        """Counts the media that match, or all if there is no query. Raises InvalidArgument
        (INVALID_FIELD, INVALID_FILTER)."""
        words = parse_words(query) if query else None
        async with self._database.transaction() as db:
            may, where = await conditions(db, principal, filter_text, project_id)
            search = None
            if words:
                match = queries.match_words(words, contents=principal.may_download)
                search = Search(may, await queries.begin(db, may), match, where)
            return await queries.facets(db, search, may, where, dimensions, most)


async def conditions(
    db: Connection, principal: Principal, filter_text: str, project_id: str
) -> tuple[Scope, list[Condition]]:
    """What the caller may see, and what searches find besides the words: no deleted media."""
    may, where = await select(db, principal, filter_text)
    where.append(Condition("m.delete_time is null", ()))
    if project_id:
        where.append(Condition("m.project_id <> '' and m.project_id = %s", (project_id,)))
    return may, where
