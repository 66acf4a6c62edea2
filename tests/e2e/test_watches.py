"""Watches over HTTP, through Envoy: headers, reconnects, and a browser's own EventSource."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx

from tests.support.browser.browser import Browser
from tests.support.media.small_files import jpeg
from tests.support.rest import create, patch, refusal, settled, store
from tests.support.service import Service
from tests.support.tools import eventually_async

# Follows a watch and records its events until it is closed for good.
EVENT_SOURCE = """
new Promise(resolve => {
  const source = new EventSource(URL);
  const seen = window.seen = {opens: 0, errors: [], ids: [], states: []};
  source.onopen = () => { seen.opens += 1; };
  source.addEventListener("NAME", event => {
    seen.ids.push(event.lastEventId);
    seen.states.push(JSON.parse(event.data).state);
  });
  source.onerror = () => {
    seen.errors.push(source.readyState);
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(() => resolve(seen), 5000);  // it would reconnect after 3
    }
  };
})
"""
CONNECTING, CLOSED = 0, 2


def ticket(client: httpx.Client, **resource: str) -> str:
    answer = client.post("/v1/watchTickets", json=resource)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["ticket"])


def script(service: Service, path: str, name: str, secret: str) -> str:
    url = f"{service.base_url}{path}:watch?ticket={secret}"
    return EVENT_SOURCE.replace("URL", json.dumps(url)).replace("NAME", name)


def blocks(answer: httpx.Response) -> list[str]:
    return answer.text.split("\n\n")[:-1]


def processed(client: httpx.Client, ops: str) -> dict[str, Any]:
    """A job, accepted."""
    media = store(client, jpeg(width=64, height=48))["mediaId"]
    answer = client.post(f"/v1/media/{media}:process", json={"ops": ops})
    return dict(answer.json())


async def test_event_source_follows_an_upload_and_closes_after_its_end(
    browser: Browser, service: Service, alice: httpx.Client
) -> None:
    """In between, the watch is idle for longer than a heartbeat."""
    upload = create(alice)
    path = f"/v1/uploads/{upload}"

    async def finish() -> None:
        await asyncio.sleep(20)
        await asyncio.to_thread(patch, alice, upload, 0, jpeg(), complete=True)

    opened = script(service, path, "upload", ticket(alice, uploadId=upload))
    seen, _ = await asyncio.gather(browser.run(opened), finish())
    assert (seen["states"][0], seen["states"][-1]) == ("ACTIVE", "FINISHED")
    assert seen["ids"][-1] == "end"
    assert len(set(seen["ids"])) == len(seen["ids"]), "an event was sent twice"
    assert seen["opens"] == 1
    # The stream ended, so it reconnected once; 204 closed it for good.
    assert seen["errors"] == [CONNECTING, CLOSED]


async def test_event_source_follows_a_job_through_its_stages(
    browser: Browser, service: Service, alice: httpx.Client
) -> None:
    job = processed(alice, "resize:5000x5000:fit=fill:enlarge=true,blur:20,convert:WEBP")["jobId"]
    opened = script(service, f"/v1/jobs/{job}", "job", ticket(alice, jobId=job))
    seen = await browser.run(opened)
    assert seen["states"][-1] == "SUCCEEDED"
    assert seen["errors"] == [CONNECTING, CLOSED]


@asynccontextmanager
async def unsteady(address: str) -> AsyncIterator[tuple[str, Callable[[], None]]]:
    """The URL of a proxy, and a function that breaks its connections."""
    connections: list[asyncio.StreamWriter] = []

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = address.rpartition(":")
        from_server, to_server = await asyncio.open_connection(host, int(port))
        connections.extend((writer, to_server))
        await asyncio.gather(pipe(reader, to_server), pipe(from_server, writer))

    def break_all() -> None:
        for writer in connections:
            writer.transport.abort()
        connections.clear()

    async with await asyncio.start_server(connect, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}", break_all
        break_all()


async def test_event_source_reconnects_by_itself_after_its_connection_breaks(
    browser: Browser, service: Service, alice: httpx.Client
) -> None:
    upload = create(alice)
    secret = ticket(alice, uploadId=upload)
    address = service.base_url.removeprefix("http://")
    async with unsteady(address) as (url, break_all), browser.page() as page:
        path = f"/v1/uploads/{upload}:watch?ticket={secret}"
        script = EVENT_SOURCE.replace("URL", json.dumps(url + path)).replace("NAME", "upload")
        await page.run(f"window.watched = {script}; 0")
        await eventually_async(lambda: page.run("Boolean(window.seen?.ids.length)"))
        for opens in (2, 3):
            break_all()
            await eventually_async(lambda: page.run(f"window.seen.opens === {opens}"))  # noqa: B023
        await asyncio.to_thread(patch, alice, upload, 0, jpeg(), complete=True)
        seen = await page.run("window.watched")
    assert (seen["states"][0], seen["states"][-1]) == ("ACTIVE", "FINISHED")
    assert len(set(seen["ids"])) == len(seen["ids"]), "an event was sent twice"
    # Two breaks, the end of the stream, and the 204.
    assert seen["errors"] == [CONNECTING, CONNECTING, CONNECTING, CLOSED]


async def test_event_source_is_closed_by_an_invalid_ticket(
    browser: Browser, service: Service, alice: httpx.Client
) -> None:
    upload = create(alice)
    seen = await browser.run(script(service, f"/v1/uploads/{upload}", "upload", "guessed"))
    assert (seen["opens"], seen["states"], seen["errors"]) == (0, [], [CLOSED])


def test_events_have_the_json_of_the_resource(alice: httpx.Client) -> None:
    job = processed(alice, "negate")
    media = job["mediaId"]
    settled(alice, media)
    path = f"/v1/jobs/{job['jobId']}"
    with alice.stream("GET", f"{path}:watch") as watch:
        last = watch.read().decode().split("\n\n")[-2]
    number, name, data = last.split("\n")
    assert (number, name) == ("id: end", "event: job")
    assert json.loads(data.removeprefix("data: ")) == alice.get(path).json()


def test_a_reconnect_after_the_last_event_is_204_without_a_body(
    alice: httpx.Client, http: httpx.Client
) -> None:
    job = processed(alice, "negate")["jobId"]
    path = f"/v1/jobs/{job}:watch"
    alice.get(path)
    for client, query in ((alice, {}), (http, {"ticket": "used"}), (http, {})):
        answer = client.get(path, params=query, headers={"last-event-id": "end"})
        assert (answer.status_code, answer.content) == (204, b"")
        assert "content-type" not in answer.headers
        assert "content-length" not in answer.headers
    # The connection is still usable.
    assert alice.get(path.removesuffix(":watch")).status_code == 200


def test_a_reconnect_before_the_end_gets_newer_events(alice: httpx.Client) -> None:
    upload = create(alice)
    path = f"/v1/uploads/{upload}:watch"
    with alice.stream("GET", path) as watch:
        number = next(watch.iter_lines()).removeprefix("id: ")
    patch(alice, upload, 0, jpeg(), complete=True)
    answer = alice.get(path, headers={"last-event-id": number})
    assert [block.split("\n")[0] for block in blocks(answer)] == ["id: end"]


def test_events_are_sent_as_they_happen(alice: httpx.Client) -> None:
    upload = create(alice)
    began = time.monotonic()
    with alice.stream("GET", f"/v1/uploads/{upload}:watch") as watch:
        assert next(watch.iter_lines()).startswith("id: ")
    assert time.monotonic() - began < 5, "nothing else happens for 10 seconds"


def test_errors_of_a_watch_are_json_with_an_http_status(
    http: httpx.Client, alice: httpx.Client
) -> None:
    upload = create(alice)
    path = f"/v1/uploads/{upload}:watch"
    assert refusal(http.get(path)) == (401, "TOKEN_MISSING")
    assert refusal(http.get(path, params={"ticket": "guessed"})) == (401, "TICKET_INVALID")
    secret = ticket(alice, uploadId=upload)
    other = f"/v1/uploads/{create(alice)}:watch"
    assert refusal(http.get(other, params={"ticket": secret})) == (401, "TICKET_INVALID")
    with http.stream("GET", path, params={"ticket": secret}) as watch:
        assert watch.status_code == 200
    assert refusal(http.get(path, params={"ticket": secret})) == (401, "TICKET_INVALID")
    assert refusal(alice.post("/v1/watchTickets", json={})) == (400, "INVALID_FIELD")


def test_head_of_a_watch_ends_at_once(alice: httpx.Client) -> None:
    upload = create(alice)
    answer = alice.head(f"/v1/uploads/{upload}:watch")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "text/event-stream"
    assert alice.head("/v1/uploads/no-id:watch").status_code == 400
