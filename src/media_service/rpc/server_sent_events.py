"""WatchLimiter over HTTP, as server-sent events for `EventSource`.

The format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any, TypeAlias, TypeVar

import grpc
from google.api import httpbody_pb2
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message

from media_service.rpc import http
from media_service.rpc.watch_limiter import WatchLimiter

T = TypeVar("T")
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

CONTENT_TYPE = "text/event-stream"
HEADERS = (("cache-control", "no-cache"), ("x-accel-buffering", "no"))
# The id of the last event.
END = "end"
HEARTBEAT = ": heartbeat\n\n"
# Of a stream that a ticket opened: the key in the ids of its events, behind a dot.
current_key: ContextVar[str] = ContextVar("current_key", default="")


class Events:
    """The events of one response. `name`: the type of the events. `seen`: the id of the last event
    that the client has."""

    def __init__(self, context: Context, name: str, seen: str) -> None:
        self._context = context
        self._name = name
        self._seen = seen
        self._started = False

    async def send(self, state: Message, *, last: bool) -> None:
        """Sends a state, or a heartbeat if the client has it already."""
        data = to_json(state)
        event_id = END if last else hashlib.sha256(data.encode()).hexdigest()[:16]
        if not last and (key := current_key.get()):
            event_id += f".{key}"
        if event_id == self._seen:
            await self.write(HEARTBEAT)
        else:
            await self.write(f"id: {event_id}\nevent: {self._name}\ndata: {data}\n\n")
            self._seen = event_id

    async def write(self, text: str) -> None:
        if not self._started:
            await self._context.send_initial_metadata(HEADERS)
            self._started = True
        body = httpbody_pb2.HttpBody(content_type=CONTENT_TYPE, data=text.encode())
        await self._context.write(body)


async def send_events(
    context: Context,
    watches: WatchLimiter,
    name: str,
    states: AsyncGenerator[T, None],
    to_message: Callable[[T], Message],
    is_last: Callable[[T], bool],
) -> None:
    """Answers with events of this name, one for each state that differs from the one before. A
    state that is repeated becomes a heartbeat."""
    headers = http.request_headers(context)
    events = Events(context, name, headers.get("last-event-id", ""))
    if http.is_head(headers):
        async with aclosing(states):
            await anext(states)  # raises if the caller may not read it
        await events.write("")
        return

    async def send(state: T) -> None:
        await events.send(to_message(state), last=is_last(state))

    await watches.run(states, send)


def key_of(context: Context) -> str:
    """The key in the last event that the client has; empty if there is none."""
    return http.request_headers(context).get("last-event-id", "").partition(".")[2]


def to_json(message: Message) -> str:
    """One line, with the same fields as Envoy's JSON."""
    return MessageToJson(message, indent=None, always_print_fields_with_no_presence=True)


def unless_ended(
    call: Callable[[Any, Context], Awaitable[None]],
) -> Callable[[Any, Context], Awaitable[None]]:
    """Answers 204 to a client that has the last event, which stops `EventSource`.

    This comes before authentication: the ticket may have expired, and the answer says nothing about
    the resource.
    """

    async def answer(request: Any, context: Context) -> None:
        if http.request_headers(context).get("last-event-id") != END:
            await call(request, context)
            return
        await context.send_initial_metadata((("x-http-status", "204"),))

    return answer
