"""Forms as upload libraries, HTML pages and tools send them."""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import pytest

from tests.support.media.small_files import jpeg
from tests.support.rest import content, refusal

PHOTO = jpeg()
FILE = ('name="file"; filename="a.jpg"', PHOTO)
Part = tuple[str, bytes]


def post(client: httpx.Client, *parts: Part) -> httpx.Response:
    """Sends a form of parts (parameters of Content-Disposition and further headers, body)."""
    pieces = [
        b"--limit\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (head.encode(), body)
        for head, body in parts
    ]
    return client.post(
        "/v1/media:upload",
        headers={"content-type": "multipart/form-data; boundary=limit"},
        content=b"".join([*pieces, b"--limit--\r\n"]),
    )


def fields(*named: tuple[str, str]) -> list[Part]:
    return [(f'name="{name}"', value.encode()) for name, value in named]


# What libraries and pages send before the file, the name of its field, and what follows it.
FORMS: Mapping[str, tuple[Sequence[Part], str, Sequence[Part]]] = {
    "Uppy": (
        fields(("relativePath", "null"), ("name", "a.jpg"), ("type", "image/jpeg")),
        "file",
        [],
    ),
    "Dropzone": (fields(("dzuuid", "1"), ("dztotalchunkcount", "1")), "file", []),
    "FilePond": (fields(("filepond", "{}")), "filepond", []),
    "a page with a CSRF token": (fields(("csrf_token", "1")), "file", []),
    "a page with a button": ([], "file", fields(("submit", "Send"))),
    "a page with other inputs for files": (
        [('name="cover"; filename=""\r\nContent-Type: application/octet-stream', b"")],
        "file",
        [('name="more"; filename=""\r\nContent-Type: application/octet-stream', b"")],
    ),
    "repeated fields": (fields(("a", "1"), ("a", "2")), "file", fields(("a", "3"))),
    "fields without names": (fields(("", "1")), "file", fields(("", "2"))),
    "a field that is not text": ([('name="a"', b"\xff")], "file", []),
}


@pytest.mark.parametrize(("before", "name", "behind"), FORMS.values(), ids=list(FORMS))
def test_parts_that_do_not_describe_the_file_are_ignored(
    alice: httpx.Client, before: Sequence[Part], name: str, behind: Sequence[Part]
) -> None:
    answer = post(alice, *before, (f'name="{name}"; filename="a.jpg"', PHOTO), *behind)
    assert answer.status_code == 201, answer.text
    media = answer.json()
    assert (media["filename"], media["title"], media["tags"]) == ("a.jpg", "", [])
    assert content(alice, media["mediaId"]) == PHOTO


def test_ignored_fields_are_bounded_in_number_and_size(alice: httpx.Client) -> None:
    for before in (fields(*[("a", "1")] * 300), fields(("a", "x" * 300_000))):
        for parts in ([*before, FILE], [FILE, *before]):
            assert refusal(post(alice, *parts)) == (400, "INVALID_MULTIPART")


def test_a_field_behind_the_file_that_it_describes_is_refused(alice: httpx.Client) -> None:
    answer = post(alice, FILE, *fields(("title", "Beach")))
    assert refusal(answer) == (400, "INVALID_MULTIPART")
    assert "title comes behind the file" in answer.json()["message"]


@pytest.mark.parametrize(
    "name",
    ["chunks", "dztotalchunkcount", "flowTotalChunks", "qqtotalparts", "resumableTotalChunks"],
)
def test_a_piece_of_a_file_does_not_become_a_media(alice: httpx.Client, name: str) -> None:
    answer = post(alice, *fields((name, "7")), FILE)
    assert refusal(answer) == (400, "INVALID_MULTIPART")
    assert "one of 7 pieces" in answer.json()["message"]


@pytest.mark.parametrize("name", ["", "?filename=a.jpg"])
def test_a_piece_in_the_header_does_not_become_a_media(alice: httpx.Client, name: str) -> None:
    body: dict[str, Any] = {"content": PHOTO} if name else {"files": {"file": ("a.jpg", PHOTO)}}
    for sent, status in ((f"bytes 0-{len(PHOTO) - 1}/{len(PHOTO)}", 201), ("bytes 0-9/20", 400)):
        headers = {"content-range": sent}
        answer = alice.post(f"/v1/media:upload{name}", headers=headers, **body)
        assert answer.status_code == status, answer.text
    assert refusal(answer) == (400, "INVALID_HEADER")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("dir/a.jpg", "a.jpg"),
        ("a/b/c.jpg", "c.jpg"),
        ("/home/ann/a.jpg", "a.jpg"),
        ("C:\\fakepath\\a.jpg", "a.jpg"),
        ("../../etc/passwd", "passwd"),
        ("dir/", ""),
    ],
)
def test_a_path_in_the_name_of_a_file_is_cut(alice: httpx.Client, sent: str, kept: str) -> None:
    quoted = sent.replace("\\", "\\\\")
    for sent_as in (f'filename="{quoted}"', f"filename*=UTF-8''{sent.replace('/', '%2F')}"):
        answer = post(alice, (f'name="file"; {sent_as}', PHOTO))
        assert (answer.status_code, answer.json().get("filename")) == (201, kept)


@pytest.mark.parametrize(
    "declared",
    [
        "application/octet-stream",
        "binary/octet-stream",
        "Binary/Octet-Stream",
        "text/plain",
        "text/plain; charset=utf-8",
        "image/*",
        "*/*",
        "jpg",
        "image/" + "x" * 200,
        "",
    ],
)
def test_a_type_that_says_nothing_does_not_refuse_a_file(
    alice: httpx.Client, declared: str
) -> None:
    answer = post(alice, (f"{FILE[0]}\r\nContent-Type: {declared}", PHOTO))
    assert (answer.status_code, answer.json().get("contentType")) == (201, "image/jpeg")
    headers = {"content-type": declared}
    answer = alice.post("/v1/media:upload", headers=headers, content=PHOTO)
    assert (answer.status_code, answer.json().get("contentType")) == (201, "image/jpeg")


def test_a_form_without_a_file_says_what_a_file_is(alice: httpx.Client) -> None:
    empty = ('name="file"; filename=""\r\nContent-Type: application/octet-stream', b"")
    for parts in ([], [empty], fields(("file", "the bytes"))):
        answer = post(alice, *parts)
        assert refusal(answer) == (400, "INVALID_MULTIPART")
        assert "Content-Disposition has a filename" in answer.json()["message"]
