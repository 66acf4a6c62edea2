"""Chromium with the libraries that pages use, in their default settings, and a plain HTML form."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from mediaservice.v1 import media_service_pb2, upload_pb2, upload_service_pb2

from tests.support.browser.browser import Browser, Page
from tests.support.media.numbered_frames import counted
from tests.support.media.small_files import jpeg
from tests.support.rest import content, create, patch, store
from tests.support.service import Service
from tests.support.tools import eventually_async


@pytest.fixture(scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """One page for all libraries: a new one takes longer than what they do."""
    async with browser.page() as page:
        yield page


@pytest.mark.parametrize("library", ["uppy", "dropzone", "filepond"])
async def test_an_upload_library_uploads_a_file(
    page: Page, service: Service, alice: httpx.Client, library: str
) -> None:
    photo = jpeg()
    order = {
        "library": library,
        "url": f"{service.base_url}/v1/media:upload",
        "headers": service.bearer("alice"),
        "name": "Größe.jpg",
        "type": "image/jpeg",
        "data": base64.b64encode(photo).decode(),
    }
    media = await page.run(f"upload({json.dumps(order)})")
    assert (media["filename"], media["contentType"]) == ("Größe.jpg", "image/jpeg")
    assert content(alice, media["mediaId"]) == photo


# A form as in a page: with a text, a file that is not chosen, and the button behind the file.
FORM = """
document.body.innerHTML = `
  <form method="post" enctype="multipart/form-data" action="URL">
    <input name="title" value="At the sea"> <input type="hidden" name="csrf" value="1">
    <input type="file" name="cover"> <input type="file" name="photo">
    <button name="send" value="Send">Send</button>
  </form>`;
const chosen = new DataTransfer();
chosen.items.add(new File([bytes("DATA")], "sea.jpg", {type: "image/jpeg"}));
document.forms[0].photo.files = chosen.files;
document.forms[0].send.click();
"""


async def test_a_plain_html_form_uploads_a_file(
    browser: Browser, service: Service, alice: httpx.Client
) -> None:
    photo = jpeg()
    script = FORM.replace("URL", f"{service.base_url}/v1/media:upload")
    script = script.replace("DATA", base64.b64encode(photo).decode())
    async with browser.page() as page:
        await page.add_headers(service.bearer("alice"))
        await page.run(script)

        async def answered() -> Any:
            return await page.run(
                'document.contentType === "application/json"'
                ' && JSON.parse(document.querySelector("pre").textContent)'
            )

        media = await eventually_async(answered)
    assert (media["filename"], media["title"]) == ("sea.jpg", "At the sea")
    assert content(alice, media["mediaId"]) == photo


@pytest.mark.parametrize("seconds", [2, 2.1])
async def test_hls_js_plays_a_stream_that_it_opens_right_after_the_upload(
    page: Page, alice: httpx.Client, seconds: float
) -> None:
    """To the end, also if the audio or the video ends shortly after a whole segment."""
    media = store(alice, counted(seconds, "10", "256x144"), "video.mp4")["mediaId"]
    # This service has no presets of videos.
    ops = {"ops": "stream:min_height=144"}
    alice.post(f"/v1/media/{media}:process", json=ops).raise_for_status()
    link = alice.post(f"/v1/media/{media}:signUrl", json={"rendition": "stream"})
    played = await page.run(f"playAtOnce({json.dumps(link.raise_for_status().json()['url'])})")
    assert played["seconds"] == pytest.approx(seconds, abs=0.3)
    assert played["frames"] == pytest.approx(seconds * 10, abs=2)


# The page of docs/browsers.md

DOCUMENT = Path(__file__).parents[2] / "docs/browsers.md"
CHOOSE = """
const data = Uint8Array.from(atob("DATA"), character => character.charCodeAt(0));
const chosen = new DataTransfer();
chosen.items.add(new File([data], "sea.jpg", {type: "image/jpeg"}));
file.files = chosen.files;
file.dispatchEvent(new Event("change"));
"""


async def test_the_page_of_the_documentation_shows_the_progress_of_an_upload(
    browser: Browser, service: Service, alice: httpx.Client
) -> None:
    photo = jpeg()
    html = next(
        block
        for block in re.findall(r"```html\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
        if "EventSource" in block
    ).replace("http://localhost:8080", service.base_url)
    document = f'URL.createObjectURL(new Blob([{json.dumps(html)}], {{type: "text/html"}}))'
    async with browser.page() as page:
        await page.run(f"location.href = {document} + '#{service.token('alice')}'; 0")
        await eventually_async(lambda: page.run("Boolean(window.file?.onchange)"))
        await page.run(CHOOSE.replace("DATA", base64.b64encode(photo).decode()))
        finished = await eventually_async(
            lambda: page.run('state.textContent === "FINISHED" && [bar.value, file.value]')
        )
    assert finished == [1, "C:\\fakepath\\sea.jpg"]
    (media,) = alice.get("/v1/media", params={"pageSize": 1}).json()["media"]
    assert media["filename"] == "sea.jpg"
    assert content(alice, media["mediaId"]) == photo


# gRPC-web


async def grpc_web(
    page: Page, service: Service, method: str, request: bytes, **order: Any
) -> dict[str, Any]:
    order = {
        "url": service.base_url,
        "method": f"/mediaservice.v1.{method}",
        "headers": service.bearer("alice"),
        "request": base64.b64encode(request).decode(),
        "format": "text",
        "streams": False,
        **order,
    }
    answer: dict[str, Any] = await page.run(f"grpcWeb({json.dumps(order)})")
    answer["messages"] = [base64.b64decode(message) for message in answer["messages"]]
    return answer


@pytest.mark.parametrize("format_", ["text", "binary"])
async def test_grpc_web_calls_a_method(
    page: Page, service: Service, alice: httpx.Client, format_: str
) -> None:
    upload = create(alice, filename="a.jpg")
    request = upload_service_pb2.GetUploadRequest(upload_id=upload).SerializeToString()
    answer = await grpc_web(page, service, "UploadService/GetUpload", request, format=format_)
    assert answer["code"] == 0
    (message,) = answer["messages"]
    assert upload_pb2.Upload.FromString(message).upload_id == upload


async def test_grpc_web_reports_an_error(page: Page, service: Service) -> None:
    request = media_service_pb2.ListMediaRequest().SerializeToString()
    answer = await grpc_web(page, service, "MediaService/ListMedia", request, headers={})
    assert (answer["code"], answer["messages"]) == (16, [])
    assert "The call has no access token" in answer["message"]


async def test_grpc_web_follows_a_stream(page: Page, service: Service, alice: httpx.Client) -> None:
    upload = create(alice, filename="a.jpg")
    request = upload_service_pb2.WatchUploadRequest(upload_id=upload).SerializeToString()
    answer, _ = await asyncio.gather(
        grpc_web(page, service, "UploadService/WatchUpload", request, streams=True),
        asyncio.to_thread(patch, alice, upload, 0, jpeg(), complete=True),
    )
    assert answer["code"] == 0
    last = upload_pb2.Upload.FromString(answer["messages"][-1])
    assert last.state == upload_pb2.Upload.FINISHED
