"""RenderImage through Envoy."""

import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.support.media.small_files import gif, jpeg, png, video_bytes
from tests.support.rest import digest, files_with, refusal, settled, store
from tests.support.rest_links import sign
from tests.support.service import Service
from tests.support.tools import eventually

BROWSER = "image/avif,image/webp,image/apng,image/*,*/*;q=0.8"


def image_of(answer: httpx.Response) -> Image.Image:
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


def stored(client: httpx.Client, data: bytes, filename: str = "sea side.jpg") -> str:
    """The RenderImage path of a newly stored image."""
    media_id = store(client, data, filename)["mediaId"]
    assert settled(client, media_id)["state"] == "READY"
    return f"/v1/media/{media_id}/image"


@pytest.fixture
def path(alice: httpx.Client) -> str:
    return stored(alice, jpeg(300, 200))


def test_a_url_alone_renders_an_image(alice: httpx.Client, path: str) -> None:
    answer = alice.get(f"{path}?width=60&format=WEBP")
    image = image_of(answer)
    assert (image.format, image.size) == ("WEBP", (60, 40))
    assert answer.headers["content-type"] == "image/webp"
    assert answer.headers["content-length"] == str(len(answer.content))
    assert digest(answer.content) in answer.headers["repr-digest"].split(", ")
    assert answer.headers["accept-ranges"] == "bytes"
    disposition = answer.headers["content-disposition"]
    assert disposition == 'inline; filename="sea side.webp"'
    saved = alice.get(f"{path}?width=60&format=WEBP&attachment=true")
    assert saved.headers["content-disposition"] == 'attachment; filename="sea side.webp"'


def test_customary_names_of_values_are_taken(alice: httpx.Client, path: str) -> None:
    answer = alice.get(f"{path}?width=9&height=9&fit=cover&gravity=top-left&format=jpg")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    operations = [{"convert": {"format": "jpg"}}]
    job = alice.post(path.replace("/image", ":process"), json={"operations": operations})
    assert job.json()["operations"][0]["convert"]["format"] == "JPEG"


@pytest.mark.parametrize(
    ("query", "size"),
    [
        ("width=60", (60, 40)),
        ("height=20", (30, 20)),
        ("width=60&height=60", (60, 40)),
        ("width=60&height=60&fit=COVER", (60, 60)),
        ("width=60&height=60&fit=fill&dpr=2", (120, 120)),
        ("ops=resize:60x,rotate:90", (40, 60)),
        ("width=150&ops=crop:40x30:gravity%3DNORTH", (40, 30)),
        ("ops=text:a~2C 100%25 ~3D b~7E:size=0.2,resize:60x", (60, 40)),
        ("ops=text%3Aa~2C%20b%3Asize%3D0.2%2Cresize%3A60x", (60, 40)),
        ("", (300, 200)),
    ],
)
def test_every_form_of_a_size_is_accepted(
    alice: httpx.Client, path: str, query: str, size: tuple[int, int]
) -> None:
    assert image_of(alice.get(f"{path}?{query}")).size == size


@pytest.mark.parametrize(
    ("data", "accept", "expected"),
    [
        (jpeg(), BROWSER, "image/avif"),
        (jpeg(), "image/webp", "image/webp"),
        (jpeg(), "*/*", "image/jpeg"),
        (png(), "*/*", "image/png"),
        (gif(), BROWSER, "image/webp"),
        (gif(), "*/*", "image/gif"),
    ],
)
def test_the_accept_header_selects_the_format_and_is_in_vary(
    alice: httpx.Client, data: bytes, accept: str, expected: str
) -> None:
    made = stored(alice, data, "a")
    answer = alice.get(f"{made}?width=20", headers={"accept": accept})
    assert answer.headers["content-type"] == expected
    assert image_of(answer).size == (20, 15)
    assert {"accept", "authorization"} <= vary(answer)
    unchanged = alice.get(
        f"{made}?width=20", headers={"accept": accept, "if-none-match": answer.headers["etag"]}
    )
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert {"accept", "authorization"} <= vary(unchanged)
    # The etag of another format differs.
    other = alice.get(f"{made}?width=20&format=TIFF", headers={"accept": accept})
    assert other.headers["etag"] != answer.headers["etag"]
    assert "accept" not in vary(other)


def vary(answer: httpx.Response) -> set[str]:
    return {name.strip().lower() for name in answer.headers.get("vary", "").split(",")}


def test_renders_support_ranges_and_head(alice: httpx.Client, path: str) -> None:
    url = f"{path}?width=61&format=PNG"
    head = alice.head(url)  # of a render that was never made before
    whole = alice.get(url)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-length", "content-type", "etag", "content-disposition", "repr-digest"):
        assert head.headers[name] == whole.headers[name]
    part = alice.get(url, headers={"range": "bytes=-10"})
    assert (part.status_code, part.content) == (206, whole.content[-10:])
    size = len(whole.content)
    assert part.headers["content-range"] == f"bytes {size - 10}-{size - 1}/{size}"
    again = alice.get(url, headers={"range": "bytes=5-", "if-range": whole.headers["etag"]})
    assert again.content == whole.content[5:]
    outside = alice.get(url, headers={"range": f"bytes={size}-"})
    assert refusal(outside) == (416, "RANGE_NOT_SATISFIABLE")


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ("ops=nosuch", 400, "INVALID_OPERATIONS"),
        ("ops=blur:9999", 400, "INVALID_OPERATIONS"),
        ("width=99999", 400, "INVALID_FIELD"),
        ("format=HEIC", 422, "OPERATION_NOT_APPLICABLE"),
        ("ops=compress:max_size_bytes%3D100", 422, "MAX_SIZE_TOO_SMALL"),
        ("ops=resize:16384x16384:fit%3DFILL:enlarge:dpr%3D8", 422, "PROCESSING_LIMIT_EXCEEDED"),
        ("colour=red", 400, "INVALID_REQUEST"),
    ],
)
def test_a_refused_render_is_a_json_error(
    alice: httpx.Client, path: str, query: str, status: int, reason: str
) -> None:
    assert refusal(alice.get(f"{path}?{query}")) == (status, reason)


def test_an_error_names_the_operation(alice: httpx.Client, path: str) -> None:
    answer = alice.get(f"{path}?ops=resize:60x,blur:-1")
    (request,) = (d for d in answer.json()["details"] if "fieldViolations" in d)
    assert request["fieldViolations"][0]["field"] == "ops[1].blur.sigma"


def test_only_images_of_the_caller_are_rendered(
    alice: httpx.Client, http: httpx.Client, service: Service, path: str
) -> None:
    video = store(alice, video_bytes(100_000), "a.mp4")["mediaId"]
    answer = alice.get(f"/v1/media/{video}/image?width=20")
    assert refusal(answer) == (422, "OPERATION_NOT_APPLICABLE")
    assert refusal(http.get(path, headers=service.bearer("bob"))) == (404, "MEDIA_NOT_FOUND")
    assert refusal(http.get(path)) == (401, "TOKEN_MISSING")


def test_a_watermark_is_an_image_of_the_same_owner(
    alice: httpx.Client, http: httpx.Client, service: Service, path: str
) -> None:
    mark = stored(alice, jpeg(50, 50, "red")).split("/")[3]
    plain = image_of(alice.get(f"{path}?format=PNG"))
    marked = image_of(alice.get(f"{path}?format=PNG&ops=watermark:{mark}:scale%3D0.5"))
    assert marked.size == plain.size
    assert marked.tobytes() != plain.tobytes()
    bobs = {"headers": service.bearer("bob")}
    theirs = store_as(http, service, "bob")
    answer = alice.get(f"{path}?ops=watermark:{theirs}")
    assert refusal(answer) == (404, "MEDIA_NOT_FOUND")
    own = f"/v1/media/{theirs}/image?ops=watermark:{mark}"
    assert refusal(http.get(own, **bobs)) == (404, "MEDIA_NOT_FOUND")  # type: ignore[arg-type]
    body: dict[str, Any] = {"ops": f"watermark:{theirs}"}
    media_id = path.split("/")[3]
    signing = alice.post(f"/v1/media/{media_id}:signUrl", json=body)
    assert refusal(signing) == (404, "MEDIA_NOT_FOUND")
    link = sign(alice, media_id, ops=f"watermark:{mark}:scale=0.5,convert:png")
    assert image_of(http.get(link)).tobytes() == marked.tobytes()


def store_as(http: httpx.Client, service: Service, user: str) -> str:
    answer = http.post(
        "/v1/media:upload",
        params={"filename": "a.jpg"},
        content=jpeg(40, 40),
        headers=service.bearer(user),
    )
    return str(answer.json()["mediaId"])


def test_a_signed_link_needs_no_token_and_opens_one_image(
    alice: httpx.Client, http: httpx.Client, path: str
) -> None:
    media_id = path.split("/")[3]
    link = sign(alice, media_id, ops="resize:60x60:fit=COVER,negate")
    assert link.endswith("/sea%20side")
    answer = http.get(link, headers={"accept": BROWSER})
    assert (image_of(answer).format, image_of(answer).size) == ("AVIF", (60, 60))
    assert answer.headers["vary"].lower().startswith("accept")
    assert "authorization" not in vary(answer)
    etag = {"if-none-match": answer.headers["etag"], "accept": BROWSER}
    assert http.get(link, headers=etag).status_code == 304
    assert http.head(link).headers["content-type"] == "image/jpeg"
    assert http.get(link, headers={"range": "bytes=0-3"}).status_code == 206
    assert sign(alice, media_id, ops="convert:webp").endswith("/sea%20side.webp")
    alice.delete(f"/v1/media/{media_id}")
    assert refusal(http.get(link)) == (403, "LINK_INVALID")


def test_concurrent_requests_get_the_same_render(alice: httpx.Client, path: str) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: alice.get(f"{path}?width=77"), range(16)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1


def test_a_render_is_stored_until_its_media_is_purged(
    alice: httpx.Client, service: Service
) -> None:
    path = stored(alice, png(120, 80), "a.png")
    made = alice.get(f"{path}?width=78&format=PNG").content
    eventually(lambda: len(files_with(service, made)) == 1)
    assert alice.get(f"{path}?width=78&format=PNG").content == made
    media = path.removesuffix("/image")
    assert alice.delete(media).status_code == 200
    assert alice.post(f"{media}:purge", json={}).status_code == 200
    eventually(lambda: files_with(service, made) == [])
