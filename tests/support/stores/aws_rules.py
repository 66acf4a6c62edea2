"""A proxy that enforces AWS's multipart rules in front of servers that do not.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompletedPart.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html
"""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import httpx
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import get_session

from tests.support.tools import NO_TLS

# Headers of one connection, not of the message.
OWN = {"connection", "content-length", "expect", "keep-alive", "transfer-encoding"}
NUMBER = re.compile(rb"<PartNumber>(\d+)</PartNumber>")
WRONG_ORDER = b"<Error><Code>InvalidPartOrder</Code></Error>"
# Ranges may be copied only from larger objects.
LEAST = 5 << 20
NO_RANGE = b"<Error><Code>InvalidRequest</Code></Error>"


def consecutive(body: bytes) -> bool:
    """Whether a CompleteMultipartUpload lists the parts 1, 2, 3, …"""
    numbers = [int(number) for number in NUMBER.findall(body)]
    return numbers == list(range(1, len(numbers) + 1))


class Handler(BaseHTTPRequestHandler):
    """Forwards every request except those that AWS would refuse."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "Gate"

    def handle_one_request(self) -> None:
        with suppress(ConnectionError):  # the client has disconnected
            super().handle_one_request()
            return
        self.close_connection = True

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.command == "POST" and "uploadId=" in self.path and not consecutive(body):
            self.answer(400, {}, WRONG_ORDER)
            return
        if "x-amz-copy-source-range" in self.headers and self.source_size() <= LEAST:
            self.answer(400, {}, NO_RANGE)
            return
        with self.server.client.stream(
            self.command,
            self.server.endpoint,
            content=body or None,
            headers=[(k, v) for k, v in self.headers.items() if k.lower() not in OWN],
            extensions={"target": self.path.encode()},
        ) as answer:
            forwarded = {k: v for k, v in answer.headers.items() if k not in OWN}
            length = answer.headers.get("content-length")
            self.answer(answer.status_code, forwarded, b"".join(answer.iter_raw()), length)

    def source_size(self) -> int:
        """The size of the copy's source, if it exists."""
        bucket, _, key = unquote(self.headers["x-amz-copy-source"]).lstrip("/").partition("/")
        try:
            found = self.server.s3.head_object(Bucket=bucket, Key=key)
        except ClientError:
            return LEAST + 1
        return int(found["ContentLength"])

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
        """Logs nothing."""


class Gate(ThreadingHTTPServer):
    """A proxy for the store at `endpoint`, with a thread per connection. `s3` bypasses it."""

    block_on_close = False
    request_queue_size = 128

    def __init__(self, endpoint: str, client: httpx.Client, s3: Any) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.endpoint = endpoint
        self.s3 = s3
        self.client = client


@contextmanager
def as_on_aws(endpoint: str, access: str, secret: str) -> Iterator[str]:
    """The endpoint of the same store with AWS's rules."""
    limits = httpx.Limits(max_connections=None)
    s3 = get_session().create_client(
        "s3",
        "us-east-1",
        endpoint_url=endpoint,
        aws_access_key_id=access,
        aws_secret_access_key=secret,
        config=Config(s3={"addressing_style": "path"}),
    )
    with (
        httpx.Client(timeout=120, limits=limits, trust_env=False, verify=NO_TLS) as client,
        Gate(endpoint, client, s3) as gate,
    ):
        thread = threading.Thread(target=gate.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{gate.server_port}"
        finally:
            gate.shutdown()
            thread.join()
            s3.close()
