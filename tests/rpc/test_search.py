"""SearchMedia and CountFacets."""

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from mediaservice.v1 import media_service_pb2

from media_service.db.database import Database
from media_service.search.indexing import put_content
from media_service.search.periodic_tasks import write_all_due
from tests.support.media.small_files import jpeg, png
from tests.support.rpc.catalogue import update
from tests.support.rpc.commands import Run
from tests.support.rpc.server import Caller, Running, refused
from tests.support.rpc.share_links import share, visitor


async def index(service: Running, contents: dict[str, str] | None = None) -> None:
    """What a worker does."""
    async with Database(service.database_url, 2) as database:
        async with database.transaction() as tx:
            for media_id, content in (contents or {}).items():
                await put_content(tx, media_id, content)
        async for _ in write_all_due(database):
            pass


async def search(
    caller: Caller, query: str, **fields: Any
) -> media_service_pb2.SearchMediaResponse:
    request = media_service_pb2.SearchMediaRequest(query=query, **fields)
    found: media_service_pb2.SearchMediaResponse
    found = await caller.call(caller.media.SearchMedia, request)
    return found


async def counts(caller: Caller, **fields: Any) -> dict[str, Any]:
    request = media_service_pb2.CountFacetsRequest(**fields)
    found = await caller.call(caller.media.CountFacets, request)
    return MessageToDict(found)


async def test_media_are_found_and_counted(service: Running, ann: Caller, bob: Caller) -> None:
    first = await ann.store(jpeg(), "IMG_2041.jpg")
    second = await ann.store(png(), "IMG_2042.png")
    await update(ann, [], media_id=first.media_id, title="Zürich by night", tags=["city", "lake"])
    await update(ann, [], media_id=second.media_id, description="A lake near Zurich")
    await index(service)
    found = await search(ann, "zurich")
    assert [hit.media.media_id for hit in found.hits] == [first.media_id, second.media_id]
    assert (found.total_count, found.total_approximate) == (2, False)
    assert found.order == media_service_pb2.SearchMediaResponse.RELEVANCE
    assert MessageToDict(found.hits[0].highlights[0]) == {
        "field": "title",
        "fragments": [{"text": "Zürich", "match": True}, {"text": " by night"}],
    }
    page = await search(ann, "IMG_20", page_size=1)
    last = await search(ann, "IMG_20", page_size=1, page_token=page.next_page_token)
    assert {page.hits[0].media.filename, last.hits[0].media.filename} == {
        "IMG_2041.jpg",
        "IMG_2042.png",
    }
    assert last.next_page_token == ""
    assert (await search(ann, "lake", filter="tags:city")).total_count == 1
    assert (await search(ann, "Zürihc")).order == media_service_pb2.SearchMediaResponse.SIMILAR
    assert (await search(bob, "zurich")).total_count == 0
    assert await counts(ann, query="lake", dimensions=["TAG", "CONTENT_TYPE"], max_values=1) == {
        "facets": [
            {
                "dimension": "TAG",
                "values": [{"value": "city", "count": "1"}],
                "moreValues": True,
            },
            {
                "dimension": "CONTENT_TYPE",
                "values": [{"value": "image/jpeg", "count": "1"}],
                "moreValues": True,
            },
        ],
        "mediaCount": "2",
    }
    assert (await counts(ann))["mediaCount"] == "2"
    assert "mediaCount" not in await counts(bob)


async def test_a_link_to_view_does_not_search_what_only_the_file_tells(
    service: Running, ann: Caller
) -> None:
    media_id = (await ann.store(jpeg(), "party.jpg")).media_id
    await update(ann, [], media_id=media_id, title="The party", tags=["x"])
    await index(service, {media_id: "a secret of the party"})
    await update(ann, [], media_id=media_id, description="said")
    await index(service)
    assert (await search(ann, "secret")).hits[0].highlights[0].field == "content"
    guest = await visitor(service, (await share(ann, f"media:{media_id}")).secret)
    assert (await search(guest, "secret")).total_count == 0
    (hit,) = (await search(guest, "party")).hits
    assert {each.field for each in hit.highlights} == {"title", "filename"}
    assert not hit.media.HasField("owner")
    for text in ("owner=ann", "camera:*", 'location:"0,0,1,1"', f"checksums.sha256={'00' * 32}"):
        assert (await refused(search(guest, "party", filter=text))).reason == "INVALID_FILTER"
        assert (await refused(counts(guest, filter=text))).reason == "INVALID_FILTER"
    assert (await counts(guest, query="secret")).get("mediaCount") is None
    assert (await counts(guest))["mediaCount"] == "1"
    downloads = await visitor(
        service, (await share(ann, f"media:{media_id}", mode="DOWNLOAD")).secret
    )
    assert (await search(downloads, "secret")).total_count == 1


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"query": "-sea"}, "INVALID_FIELD"),
        ({"query": ""}, "INVALID_FIELD"),
        ({"query": "x" * 501}, "INVALID_FIELD"),
        ({"query": "sea", "filter": "kind=IMGE"}, "INVALID_FILTER"),
        ({"query": "sea", "page_token": "x"}, "INVALID_PAGE_TOKEN"),
    ],
)
async def test_an_invalid_search_is_refused(
    ann: Caller, fields: dict[str, Any], reason: str
) -> None:
    refusal = await refused(search(ann, **fields))
    assert (refusal.reason, refusal.fields) == (reason, [list(fields)[-1]])


async def test_the_command_searches_and_counts(
    service: Running, ann: Caller, tmp_path: Path
) -> None:
    run = Run(service, tmp_path)
    for number in range(3):
        stored = await ann.store(jpeg(), f"IMG_{number}.jpg")
        await update(ann, [], media_id=stored.media_id, description="by hand")
    tagged = await ann.store(jpeg(), "other.jpg")
    await update(ann, [], media_id=tagged.media_id, tags=["IMG_x"])
    await index(service)
    lines = await run("ann", "search", "IMG", "--filter", "NOT tags:*")
    assert {line[3] for line in lines} == {"IMG_0.jpg", "IMG_1.jpg", "IMG_2.jpg"}
    hit = json.loads((await run.result("ann", "search", '"IMG x"', "--json")).stdout)
    assert hit["highlights"][0]["field"] == "tags"
    counted = await run("ann", "search", "IMG", "--facets")
    assert ["kind", "IMAGE", "4"] in counted
    assert ["tag", "IMG_x", "1"] in counted
    assert await run("ann", "ls", "--total") == [["4"]]
    refusal = await run.result("ann", "search", "IMG", "--filter", "kind=IMGE")
    assert refusal.exit_code != 0
