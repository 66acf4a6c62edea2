"""Events over HTTP, as server-sent events. The id of each is its cursor."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc
from google.api import httpbody_pb2

from media_service.events.envelope import to_json
from media_service.events.model import Page
from media_service.rpc import http
from media_service.rpc.server_sent_events import CONTENT_TYPE, HEADERS, HEARTBEAT, current_key
from media_service.rpc.watch_limiter import WatchLimiter

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


def last_cursor(context: Context, requested: str) -> str:
    """The newest cursor that the client has: in `Last-Event-ID`, in front of a key, or in the
    request."""
    return http.request_headers(context).get("last-event-id", "").partition(".")[0] or requested


def text_of(page: Page, source: str) -> str:
    """A page as server-sent events. An id without data only tells the client where it is."""
    key = f".{current_key.get()}" if current_key.get() else ""
    blocks = [
        f"id: {event.cursor}{key}\nevent: event\ndata: {to_json(event, source).decode()}\n\n"
        for event in page.events
    ]
    if not page.events or page.events[-1].cursor != page.end:
        blocks.append(f"{HEARTBEAT.rstrip()}\nid: {page.end}{key}\n\n")
    return "".join(blocks)


async def stream_events(
    context: Context, watches: WatchLimiter, pages: AsyncGenerator[Page, None], source: str
) -> None:
    if http.is_head(http.request_headers(context)):
        async with aclosing(pages):
            await anext(pages)  # raises if the cursor has expired
        await context.send_initial_metadata(HEADERS)
        await context.write(httpbody_pb2.HttpBody(content_type=CONTENT_TYPE))
        return
    started = False

    async def send(page: Page) -> None:
        nonlocal started
        if not started:
            await context.send_initial_metadata(HEADERS)
            started = True
        data = text_of(page, source).encode()
        await context.write(httpbody_pb2.HttpBody(content_type=CONTENT_TYPE, data=data))

    await watches.run(pages, send)
