"""Searches over REST, through Envoy, of what a worker has inspected."""

from typing import Any

import httpx
import pytest

from media_service.ids import new_id
from tests.support.media.pdf_files import Page, pdf, text
from tests.support.media.small_files import jpeg
from tests.support.rest import client_of, refusal, store
from tests.support.service import Service
from tests.support.tools import eventually


def test_media_are_found_soon_after_they_are_stored_and_changed(service: Service) -> None:
    with client_of(service, f"user-{new_id()}") as owner:
        photo = store(owner, jpeg(), "IMG_2041.JPG")["mediaId"]
        report = store(owner, pdf(Page(text("The lighthouse keeper's report"))), "a.pdf")["mediaId"]
        change = {"title": "Leuchtturm von Réthymno", "tags": ["sea", "night"]}
        assert owner.patch(f"/v1/media/{photo}", json=change).status_code == 200

        def found(query: str) -> list[dict[str, Any]]:
            answer = owner.get("/v1/media:search", params={"query": query})
            assert answer.status_code == 200, answer.text
            return list(answer.json()["hits"])

        (hit,) = eventually(lambda: found("lighthouse -tower"))
        assert (hit["media"]["mediaId"], hit["highlights"][0]["field"]) == (report, "content")
        (hit,) = eventually(lambda: found("rethymno"))
        assert hit["highlights"][0]["fragments"] == [
            {"text": "Leuchtturm von ", "match": False},
            {"text": "Réthymno", "match": True},
        ]
        assert [each["media"]["mediaId"] for each in found("IMG_20")] == [photo]
        params = {"query": "sea OR report", "dimensions": ["KIND", "TAG"]}
        counted = owner.get("/v1/media:countFacets", params=params).json()
        values = {
            facet["dimension"]: {each["value"]: each["count"] for each in facet["values"]}
            for facet in counted["facets"]
        }
        assert values == {
            "KIND": {"IMAGE": "1", "DOCUMENT": "1"},
            "TAG": {"sea": "1", "night": "1"},
        }
        assert counted["mediaCount"] == "2"
        owner.delete(f"/v1/media/{photo}")
        assert found("rethymno") == []
        total = owner.get("/v1/media", params={"showTotal": "true"}).json()
        assert (total["totalCount"], total["totalApproximate"]) == ("1", False)


@pytest.mark.parametrize(
    ("params", "reason", "hint"),
    [
        ({"query": "-a"}, "INVALID_FIELD", "must contain a word"),
        ({"query": "a", "filter": "hight>5"}, "INVALID_FILTER", "did you mean height?"),
        ({"query": "a", "filter": "kind=IMGE"}, "INVALID_FILTER", "did you mean IMAGE?"),
        ({"query": "a", "filter": "type=a"}, "INVALID_FILTER", "did you mean content_type?"),
    ],
)
def test_a_wrong_search_says_what_is_right(
    alice: httpx.Client, params: dict[str, str], reason: str, hint: str
) -> None:
    answer = alice.get("/v1/media:search", params=params)
    assert refusal(answer) == (400, reason)
    assert hint in answer.json()["message"]
