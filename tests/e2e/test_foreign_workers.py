"""Foreign workers take jobs over RabbitMQ: examples/foreign_worker, as a stranger would run it."""

import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.media.small_files import jpeg
from tests.support.rest import client_of, settled
from tests.support.service import Service, environment, running
from tests.support.stores.rabbitmq_server import RabbitmqServer
from tests.support.tools import NO_TLS, eventually, require_tool

EXAMPLES = Path(__file__).parents[2] / "examples/foreign_worker"


@pytest.fixture(scope="module")
def foreign(rabbitmq: RabbitmqServer) -> Iterator[Service]:
    """A service whose blurred images come from foreign workers."""
    with tempfile.TemporaryDirectory(prefix="media-e2e-") as folder:
        environ = environment(
            Path(folder) / "data",
            MEDIA_JWT_SECRET=secrets.token_hex(32),
            MEDIA_RABBITMQ_URL=rabbitmq.url,
            MEDIA_JOBS_TRANSPORT="rabbitmq",
            MEDIA_FOREIGN_OPERATIONS="blur,negate",
        )
        with running(environ) as service:
            yield service


@pytest.fixture
def ann(foreign: Service) -> Iterator[httpx.Client]:
    with client_of(foreign, "ann") as client:
        yield client


@contextmanager
def working(*command: str | Path) -> Iterator[None]:
    process = subprocess.Popen(command)
    try:
        yield
        assert process.poll() is None, "the worker ended"
    finally:
        process.kill()
        process.wait()


def upload(ann: httpx.Client, data: bytes) -> str:
    """Presign, PUT, complete: as a browser does."""
    upload_id = ann.post("/v1/uploads", json={"filename": "a.jpg"}).json()["uploadId"]
    signed = ann.post(f"/v1/uploads/{upload_id}:sign", json={}).json()["parts"][0]
    assert httpx.put(signed["url"], content=data, verify=NO_TLS, trust_env=False).is_success
    completed = ann.post(f"/v1/uploads/{upload_id}:complete", json={}).json()
    return str(completed["media"]["mediaId"])


def ended(ann: httpx.Client, job_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        job: dict[str, Any] = ann.get(f"/v1/jobs/{job_id}").json()
        return job if job["state"] in {"SUCCEEDED", "FAILED", "CANCELLED"} else None

    return eventually(look, 60)


@pytest.mark.parametrize(("language", "ops"), [("python", "blur:4"), ("go", "negate")])
def test_a_foreign_worker_renders(
    ann: httpx.Client, rabbitmq: RabbitmqServer, language: str, ops: str
) -> None:
    require_tool("ffmpeg")
    commands: dict[str, list[str | Path]] = {
        "python": [sys.executable, EXAMPLES / "worker.py"],
        "go": [require_tool("foreign-worker")],
    }
    media_id = upload(ann, jpeg(64, 48))
    assert settled(ann, media_id)["state"] == "READY"
    job = ann.post(f"/v1/media/{media_id}:process", json={"ops": ops}).json()
    assert job["type"] == "PROCESS"
    with working(*commands[language], rabbitmq.url):
        done = ended(ann, job["jobId"])
    assert done["state"] == "SUCCEEDED", done
    made = done["rendition"]
    assert (made["contentType"], made["width"], made["height"]) == ("image/png", 64, 48)
    content = ann.get(f"/v1/media/{media_id}/renditions/{made['name']}/content").content
    assert content.startswith(b"\x89PNG")
    assert str(len(content)) == made["sizeBytes"]
