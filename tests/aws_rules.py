"""What AWS asks of those who complete multipart uploads, before servers that do not ask it.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompletedPart.html
"""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

# Headers of one connection, not of the message.
OWN = {"connection", "content-length", "expect", "keep-alive", "transfer-encoding"}
NUMBER = re.compile(rb"<PartNumber>(\d+)</PartNumber>")
REFUSAL = b"<Error><Code>InvalidPartOrder</Code></Error>"


def consecutive(body: bytes) -> bool:
    """Whether a complete names the parts 1, 2, 3, …"""
    numbers = [int(number) for number in NUMBER.findall(body)]
    return numbers == list(range(1, len(numbers) + 1))


class Handler(BaseHTTPRequestHandler):
    """Lets everything pass but what AWS would refuse."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "Gate"

    def handle_one_request(self) -> None:
        with suppress(ConnectionError):  # a client that went away
            super().handle_one_request()
            return
        self.close_connection = True

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.command == "POST" and "uploadId=" in self.path and not consecutive(body):
            self.answer(400, {}, REFUSAL)
            return
        with self.server.client.stream(
            self.command,
            self.server.endpoint,
            content=body or None,
            headers=[(k, v) for k, v in self.headers.items() if k.lower() not in OWN],
            extensions={"target": self.path.encode()},
        ) as answer:
            told = {k: v for k, v in answer.headers.items() if k not in OWN}
            length = answer.headers.get("content-length")
            self.answer(answer.status_code, told, b"".join(answer.iter_raw()), length)

    do_DELETE = do_GET = do_HEAD = do_POST = do_PUT = forward  # noqa: N815 - so they are found

    def answer(
        self, status: int, headers: dict[str, str], body: bytes, length: str | None = None
    ) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != httpx.codes.NO_CONTENT:
            self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nobody wants to know."""


class Gate(ThreadingHTTPServer):
    """Before the store at `endpoint`; a thread for each connection."""

    block_on_close = False
    request_queue_size = 128

    def __init__(self, endpoint: str, client: httpx.Client) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.endpoint = endpoint
        self.client = client


@contextmanager
def as_on_aws(endpoint: str) -> Iterator[str]:
    """The endpoint of the same store with AWS's rules."""
    limits = httpx.Limits(max_connections=None)
    with (
        httpx.Client(timeout=120, limits=limits, trust_env=False) as client,
        Gate(endpoint, client) as gate,
    ):
        thread = threading.Thread(target=gate.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{gate.server_port}"
        finally:
            gate.shutdown()
            thread.join()
