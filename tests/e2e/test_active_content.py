"""Files with scripts never run in the origin of the service, whichever way they are read."""

from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.rest import show, store

SCRIPT = "<script>document.title = 'ran'</script>"
SVG = f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">{SCRIPT}</svg>'.encode()
# An image that is a script as well.
POLYGLOT = b"GIF89a/*\0\0\0\0\0" + b"*/=1;document.title='ran';//;"
PDF = b"%PDF-1.7\n1 0 obj<</Type/Catalog/OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj\n"
FILES = {
    "page.svg": (SVG, "attachment"),
    "image.gif": (POLYGLOT, "inline"),
    "paper.pdf": (PDF, "inline"),
}


@pytest.mark.parametrize("name", FILES)
def test_every_way_to_an_original_is_sandboxed(
    alice: httpx.Client, http: httpx.Client, name: str
) -> None:
    data, disposition = FILES[name]
    media_id = str(store(alice, data, name)["mediaId"])
    shown = show(alice, media_id, "PUBLIC_ORIGINAL")
    signed = alice.post(f"/v1/media/{media_id}:signUrl", json={}).json()["url"]
    content = f"/v1/media/{media_id}/content"
    for answer in (
        alice.get(content),
        alice.head(content),
        alice.get(content, headers={"range": "bytes=0-5"}),
        http.get(urlsplit(signed).path),
        http.get(urlsplit(shown["publicUrl"]).path),
    ):
        headers = answer.headers
        assert answer.status_code in {200, 206}
        assert headers["content-disposition"] == f'{disposition}; filename="{name}"'
        assert headers["x-content-type-options"] == "nosniff"
        policy = [part.strip() for part in headers["content-security-policy"].split(";")]
        assert "sandbox" in policy, "no scripts, no forms, an origin of its own"
        assert "default-src 'none'" in policy


def test_what_else_the_service_answers_is_not_taken_for_a_page(
    alice: httpx.Client, http: httpx.Client
) -> None:
    media_id = str(store(alice, SVG, "page.svg")["mediaId"])
    titled = alice.patch(f"/v1/media/{media_id}", json={"title": SCRIPT})
    for answer in (
        titled,
        alice.get("/v1/media", params={"filter": SCRIPT}),
        http.get(f"/{SCRIPT}"),
        http.get("/healthz"),
        alice.get(f"/v1/media/{media_id}/access:export?format=CSV"),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff", answer.url
        assert "html" not in answer.headers.get("content-type", "")
