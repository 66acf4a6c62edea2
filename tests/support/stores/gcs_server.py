"""A server with Cloud Storage's protocol: fake-gcs-server, in memory, on loopback."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.support.ports import free_port
from tests.support.tools import await_answer, require_tool

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
    made = httpx.post(f"{endpoint}/storage/v1/b", json={"name": name}, trust_env=False)
    made.raise_for_status()
