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
