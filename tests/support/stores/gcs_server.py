"""A server with Cloud Storage's protocol: fake-gcs-server, in memory, on loopback."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from tests.support.ports import free_port
from tests.support.tools import NO_TLS, await_answer, require_tool

GCS_BUCKET = "media"


@contextmanager
def gcs_server() -> Iterator[str]:
    """Yields the endpoint. The bucket is `GCS_BUCKET`. No credentials are needed."""
    program = require_tool("fake-gcs-server")
    port = free_port()
    address = ["-host", "127.0.0.1", "-port", str(port), "-public-host", f"127.0.0.1:{port}"]
    process = subprocess.Popen(
        [program, "-scheme", "http", "-backend", "memory", "-log-level", "error", *address],
        stdout=subprocess.DEVNULL,
    )
    try:
        endpoint = f"http://127.0.0.1:{port}"
        await_answer(f"{endpoint}/_internal/healthcheck", process)
        make_bucket(endpoint, GCS_BUCKET)
        yield endpoint
    finally:
        process.terminate()
        process.wait()


def make_bucket(endpoint: str, name: str) -> None:
    url = f"{endpoint}/storage/v1/b"
    made = httpx.post(url, json={"name": name}, trust_env=False, verify=NO_TLS)
    made.raise_for_status()


@dataclass(frozen=True)
class GcsFolder:
    """A place on Cloud Storage that only one test uses."""

    endpoint: str
    prefix: str

    @property
    def url(self) -> str:
        return f"gs://{GCS_BUCKET}/{self.prefix}?endpoint={self.endpoint}"
