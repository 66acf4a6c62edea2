"""Pages of lists among a million media of 50 projects: filtered, ordered, and 10 000 pages deep."""

import statistics
from dataclasses import dataclass
from functools import partial
from typing import Any

from mediaservice.v1 import media_service_pb2, media_service_pb2_grpc

from benchmarks.measure import Bench, say
from benchmarks.own_server import as_user, filled_database, p95, pages, row, server
from benchmarks.report import Outcome, Row
from benchmarks.rows import EVERYWHERE, FIVE, MEDIA, ONE, SINGLE, fill
from benchmarks.transfer import channel

QUICK_MEDIA = 100_000
PAGE, LARGEST_PAGE = 50, 1000
# Pages of each list, from the first one, and at the depth.
PAGES = 40
# The last page is page 10 000 of a million media: the caller may see nine of ten.
DEPTH = 10_000
MOST_MS = 20.0


@dataclass(frozen=True)
class List:
    caller: str
    filter: str = ""
    order_by: str = ""

    def __str__(self) -> str:
        return ", ".join(filter(None, (f"member {self.caller}", self.filter, self.order_by)))

    def request(self) -> media_service_pb2.ListMediaRequest:
        return media_service_pb2.ListMediaRequest(
            filter=self.filter, order_by=self.order_by, page_size=PAGE
        )


LISTS = (
    List(EVERYWHERE),
    List(EVERYWHERE, "kind=IMAGE AND width>=4000"),
    List(EVERYWHERE, "tags:shoot-300"),
    List(EVERYWHERE, 'labels.client="c-7"'),
    List(EVERYWHERE, "kind=VIDEO", "capture_time desc"),
    List(EVERYWHERE, "", "filename"),
    List(EVERYWHERE, "kind=VIDEO", "title desc"),
    List(EVERYWHERE, "", "rating desc"),
    List(FIVE, "kind=IMAGE", "size_bytes desc"),
    List(ONE, "tags:approved AND visibility=PUBLIC"),
    List(SINGLE, "kind=IMAGE"),
)


async def catalogue(bench: Bench) -> Outcome:
    media = QUICK_MEDIA if bench.seconds < 10 else MEDIA
    say(f"  {media} media ...")
    url = await filled_database(bench, "catalogue", partial(fill, media=media))
    rows: list[Row] = []
    with server(bench, url, "catalogue") as address:
        async with channel(address) as opened:
            stub: Any = media_service_pb2_grpc.MediaServiceStub(opened)
            for each in LISTS:
                call = as_user(bench, stub.ListMedia, each.caller)
                await pages(call, each.request(), PAGES)
                took = [
                    page
                    for _ in range(bench.rounds)
                    for page in await pages(call, each.request(), PAGES)
                ]
                say(f"  {each}: {len(took)} pages, median {statistics.median(took):.1f} ms")
                rows.append(row(f"ListMedia, {each}: p95", p95(took), MOST_MS))
            call = as_user(bench, stub.ListMedia, EVERYWHERE)
            depth = DEPTH * media // MEDIA
            deep = await at_depth(call, depth)
            took = [page for _ in range(bench.rounds) for page in await pages(call, deep, PAGES)]
            rows.append(row(f"ListMedia, page {depth}: p95", p95(took), MOST_MS))
    note = (
        f"{media} media in 50 projects, pages of {PAGE}, one after the other, {PAGES} of each list."
    )
    return Outcome(rows, [], [note])


async def at_depth(call: Any, page: int) -> media_service_pb2.ListMediaRequest:
    """The request of the page with this number."""
    request = List(EVERYWHERE).request()
    request.page_size = LARGEST_PAGE
    for _ in range(page * PAGE // LARGEST_PAGE):
        request.page_token = (await call(request)).next_page_token
    request.page_size = PAGE
    return request
