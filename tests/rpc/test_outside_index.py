"""The example of docs/design/search.md keeps an outside index equal to what a caller may see."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from mediaservice.v1 import media_service_pb2

from media_service_client import AsyncClient, Media
from tests.support.media.small_files import jpeg
from tests.support.rpc.server import Running

PAGE = Path(__file__).parents[2] / "docs" / "design" / "search.md"


@dataclass
class Index:
    """An index in memory."""

    cursor: str = ""
    found: dict[str, Media] = field(default_factory=dict)

    def clear(self) -> None:
        self.found.clear()

    def put(self, media: Media) -> None:
        self.found[media.media_id] = media

    def remove(self, media_id: str) -> None:
        self.found.pop(media_id, None)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.02)


Feed = Callable[[AsyncClient, Index], Awaitable[None]]


def feed() -> Feed:
    code = PAGE.read_text().partition("```python\n")[2].partition("```")[0]
    names: dict[str, object] = {}
    exec(compile(code, str(PAGE), "exec"), names)  # noqa: S102 - our own documentation
    return cast(Feed, names["feed"])


async def test_an_outside_index_follows_the_events(working: Running) -> None:
    ann = await working.caller("ann")
    before = (await ann.store(jpeg())).media_id
    index = Index()
    async with AsyncClient(working.address, token=ann.token) as client:
        task = asyncio.ensure_future(feed()(client, index))
        await index.until(lambda: before in index.found)
        added = await ann.store(jpeg())
        await index.until(lambda: added.media_id in index.found)
        await client.delete(before)
        await index.until(lambda: before not in index.found)
        task.cancel()
        # What happens meanwhile is told afterwards; an expired cursor begins anew.
        await client.undelete(before)
        await client.delete(added.media_id)
        await ann.call(
            ann.media.PurgeMedia, media_service_pb2.PurgeMediaRequest(media_id=added.media_id)
        )
        for cursor in (index.cursor, "1-1"):
            index.cursor = cursor
            task = asyncio.ensure_future(feed()(client, index))
            await index.until(lambda: set(index.found) == {before})
            await index.until(lambda: index.cursor != "1-1")
            task.cancel()
