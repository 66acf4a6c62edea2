"""Addresses that are passed on, with the query parameters that others add to them."""

from urllib.parse import urlsplit

import httpx
import pytest

from media_service.ids import new_id
from tests.support.media.small_files import jpeg
from tests.support.rest import add_rendition, client_of, public_url, refusal, show, store
from tests.support.service import Service

PHOTO = jpeg()
SMALL = b"a small image"
ADDED = [
    "utm_source=news&utm_medium=mail",
    "fbclid=IwAR0x",
    "v=2",
    "_HLS_msn=1&_HLS_part=0",
    "version=0&v=2",
    "a.b.c=1&a=b=c",
    "&&=1&x",
    "x=%ZZ&y=%00",
    "path=other&token=other&media_id=other&mediaId=other",
    "?",
    "",
]


@pytest.fixture(scope="module")
def addresses(service: Service) -> dict[str, bytes]:
    """What answers at each address."""
    with client_of(service, "alice") as alice:
        media = str(store(alice, PHOTO)["mediaId"])
        add_rendition(service, media, "given", SMALL)
        show(alice, media, "PUBLIC")
        original = f"/v1/media/{media}"
        signed = alice.post(f"{original}:signUrl", json={}).json()["url"]
        return {
            f"{original}/content": PHOTO,
            f"{original}/renditions/given/content": SMALL,
            urlsplit(signed).path: PHOTO,
            urlsplit(public_url(alice, media, "given")).path: SMALL,
        }


@pytest.mark.parametrize("added", ADDED)
def test_what_others_add_to_an_address_is_ignored(
    alice: httpx.Client, addresses: dict[str, bytes], added: str
) -> None:
    for path, data in addresses.items():
        answer = alice.get(f"{path}?{added}")
        assert (answer.status_code, answer.content) == (200, data), path
        answer = alice.head(f"{path}?{added}")
        assert (answer.status_code, answer.headers["content-length"]) == (200, str(len(data)))
    answer = alice.get(f"/v1/media/{new_id()}/stream/master.m3u8?{added}")
    assert refusal(answer) == (404, "MEDIA_NOT_FOUND")


def test_known_parameters_still_count(alice: httpx.Client, addresses: dict[str, bytes]) -> None:
    path = next(iter(addresses))
    for query in ("attachment=true&utm_source=x", "v=2&attachment=true&w=3"):
        answer = alice.get(f"{path}?{query}")
        assert answer.headers["content-disposition"].startswith("attachment")
    assert refusal(alice.get(f"{path}?v=2&version=x")) == (400, "INVALID_REQUEST")
    assert refusal(alice.get(f"{path}?v=2&attachment.x=1")) == (400, "INVALID_REQUEST")


def test_other_addresses_refuse_unknown_parameters(
    alice: httpx.Client, addresses: dict[str, bytes]
) -> None:
    media = next(iter(addresses)).removesuffix("/content")
    for path in ("/v1/media", media, f"{media}/image", f"/v1/jobs/{new_id()}:watch"):
        assert refusal(alice.get(f"{path}?widht=300")) == (400, "INVALID_REQUEST"), path


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("pageSize=1&page_size=2", "pageSize"),
        ("pageSize=1&pageSize=1", "pageSize"),
        ("page%53ize=1&pageSize=2", "pageSize"),
        ("owner.type=user&owner.id=alice&owner.type=org", "owner.type"),
        ("filter&filter=", "filter"),
    ],
)
def test_a_parameter_that_is_given_twice_is_refused(
    alice: httpx.Client, query: str, field: str
) -> None:
    for answer in (alice.get(f"/v1/media?{query}"), alice.get(f"/v1/media?{query}&x=1")):
        assert refusal(answer) == (400, "INVALID_REQUEST")
        assert f"{field}: is given twice" in answer.json()["message"]
    assert alice.head(f"/v1/media?{query}").status_code == 400


def test_parameters_of_other_routes_are_not_given_twice(alice: httpx.Client) -> None:
    media = store(alice, PHOTO)["mediaId"]
    for method, path in (
        ("GET", f"/v1/media/{media}/content?v=1&v=2&attachment=true&attachment=false"),
        ("GET", f"/v1/media/{media}/image?width=10&width=20"),
        ("GET", f"/v1/uploads/{new_id()}:watch?ticket=a&ticket=b"),
        ("DELETE", f"/v1/media/{media}?etag=a&etag=b"),
        ("PATCH", f"/v1/media/{media}?updateMask=title&update_mask=tags"),
        ("POST", f"/v1/media/{media}:process?ops=blur&ops=flip"),
        ("POST", "/v1/media:upload?spec.title=a&spec.title=b"),
        ("PUT", f"/v1/uploads/{new_id()}/parts/1?sizeBytes=1&size_bytes=2"),
    ):
        answer = alice.request(method, path)
        assert refusal(answer) == (400, "INVALID_REQUEST"), path
        assert "is given twice" in answer.json()["message"], path


def test_a_parameter_that_differs_from_the_path_is_refused(alice: httpx.Client) -> None:
    media, other = (store(alice, PHOTO)["mediaId"] for _ in range(2))
    for path in (
        f"/v1/media/{media}?mediaId={other}",
        f"/v1/media/{media}?media_id={other}",
        f"/v1/media/{media}?media_id=",
        f"/v1/media/{media}/image?width=9&mediaId={other}",
    ):
        answer = alice.get(path)
        assert refusal(answer) == (400, "INVALID_REQUEST"), path
        assert "mediaId: differs from the path" in answer.json()["message"]
    answer = alice.patch(f"/v1/media/{media}?media.mediaId={other}", json={"title": "a"})
    assert refusal(answer) == (400, "INVALID_REQUEST")
    assert alice.get(f"/v1/media/{media}?media_id={media}").json()["mediaId"] == media
    assert alice.get(f"/v1/jobs?mediaId={media}").status_code == 200


def test_a_list_may_be_given_several_times(alice: httpx.Client) -> None:
    answer = alice.post("/v1/media:upload?filename=a.jpg&spec.tags=a&spec.tags=b", content=PHOTO)
    assert (answer.status_code, answer.json()["tags"]) == (201, ["a", "b"])
