"""A client of the DevTools protocol over a WebSocket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import aiohttp


class DevTools:
    """Sends commands of https://chromedevtools.github.io/devtools-protocol/ concurrently."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def call(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """Sends a command to the page of `session`, or without one to the browser."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        command = {"id": number, "method": method, "params": params}
        await self._socket.send_json(command | ({"sessionId": session} if session else {}))
        message = await answer
        assert "error" not in message, f"{method}: {message['error']}"
        result: dict[str, Any] = message["result"]
        return result

    async def listen(self) -> None:
        """Receives responses until the browser disconnects. Events are dropped."""
        async for message in self._socket:
            body = message.json()
            if answer := self._answers.pop(body.get("id"), None):
                answer.set_result(body)
        for answer in self._answers.values():
            answer.set_exception(ConnectionError("the browser hung up"))


@asynccontextmanager
async def devtools(url: str) -> AsyncIterator[DevTools]:
    # A report on a video is one message of any length.
    async with aiohttp.ClientSession() as http, http.ws_connect(url, max_msg_size=0) as socket:
        tools = DevTools(socket)
        listening = asyncio.create_task(tools.listen())
        try:
            yield tools
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
