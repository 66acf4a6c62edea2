"""A file is replaced and restored, while its addresses keep working: as over REST anybody would do
it."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby

import httpx

from tests.support.media.small_files import jpeg
from tests.support.rest import refusal, store
from tests.support.rest_links import sign
from tests.support.tools import eventually


def read(http: httpx.Client, url: str) -> bytes:
    answer = http.get(url)
    assert answer.status_code == httpx.codes.OK, answer.text
    return answer.content


@contextmanager
def reading(base_url: httpx.URL, urls: Sequence[str]) -> Iterator[list[list[bytes | int]]]:
    """Reads each of these URLs again and again, without a token. Yields what each has answered: the
    content, or the status of an error."""
    ended = threading.Event()
    answers: list[list[bytes | int]] = [[] for _ in urls]

    def read_all() -> None:
        with httpx.Client(base_url=base_url, trust_env=False) as client:
            last = False
            while not last:
                last = ended.is_set()
                for url, seen in zip(urls, answers, strict=True):
                    answer = client.get(url)
                    seen.append(answer.content if answer.is_success else answer.status_code)
                ended.wait(0.02)

    thread = threading.Thread(target=read_all)
    thread.start()
    try:
        yield answers
    finally:
        ended.set()
        thread.join()


def test_a_file_is_replaced_and_restored_while_its_addresses_keep_working(
    alice: httpx.Client, http: httpx.Client
) -> None:
    first, second = jpeg(color="red") + os.urandom(8), jpeg(color="blue") + os.urandom(8)
    media = store(alice, first, "logo.jpg")
    address = f"/v1/media/{media['mediaId']}"

    def current(version: int) -> dict[str, object] | None:
        now = alice.get(address).json()
        return now if (now["version"], now["state"]) == (version, "READY") else None

    eventually(lambda: current(1))
    link = sign(alice, str(media["mediaId"]))
    body = {"mediaId": media["mediaId"], "visibility": "PUBLIC_ORIGINAL"}
    published = alice.patch(address, json=body, params={"update_mask": "visibility"}).json()
    public = published["publicUrl"]
    assert [read(http, url) for url in (link, public)] == [first, first]
    with reading(http.base_url, [link, public]) as answers:
        replacing = {"spec.mediaId": media["mediaId"]}

        def replace() -> bool:
            """The etag also changes when the renditions are published."""
            replacing["spec.ifEtag"] = alice.get(address).json()["etag"]
            answer = alice.post("/v1/media:upload", params=replacing, content=second)
            return answer.status_code == httpx.codes.CREATED

        eventually(replace)
        again = alice.post("/v1/media:upload", params=replacing, content=second)
        assert refusal(again) == (412, "ETAG_MISMATCH")
        eventually(lambda: current(2))
        assert [read(http, url) for url in (link, public)] == [second, second]
        old = alice.get(f"{address}/content", params={"version": 1})
        assert old.content == first
        listed = alice.get(f"{address}/versions").json()["versions"]
        assert [(v["version"], v["current"]) for v in listed] == [(2, True), (1, False)]
        restored = alice.post(f"{address}/versions/1:restore", json={}).json()
        assert (restored["version"], restored["restoredFrom"]) == (3, 1)
        eventually(lambda: current(3))
        assert [read(http, url) for url in (link, public)] == [first, first]
    for seen in answers:
        # The second one, unless this thread did not run while it was current.
        assert [answer for answer, _ in groupby(seen)] in ([first, second, first], [first])
    assert alice.delete(f"{address}/versions/2").status_code == httpx.codes.OK
    assert refusal(alice.get(f"{address}/versions/2")) == (404, "VERSION_NOT_FOUND")
