"""A server at its limit of streams refuses uploads over REST and states the limit."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import grpc
import httpx
import psutil
import pytest
from mediaservice.v1 import upload_pb2, upload_service_pb2, upload_service_pb2_grpc

from tests.support.media.small_files import jpeg, video_bytes
from tests.support.ports import free_port
from tests.support.rest import refusal
from tests.support.service import Service, environment, running
from tests.support.tools import NO_TLS

Message = upload_service_pb2.WriteUploadRequest


@pytest.fixture
def one_at_once() -> Iterator[Service]:
    # Not below pytest's own directory, which other runs close to PostgreSQL's user.
    with (
        tempfile.TemporaryDirectory(prefix="media-busy-") as folder,
        running(environment(Path(folder) / "data", MEDIA_MAX_STREAMS="1")) as service,
    ):
        yield service


def test_too_many_uploads_are_429_with_retry_after(one_at_once: Service) -> None:
    data, release = video_bytes(1 << 10), Event()

    def messages() -> Iterator[Message]:
        first = Message(data=data)
        first.spec.filename = "video.mp4"
        yield first
        release.wait()
        yield Message(offset=len(data), finish=True)

    bearer = one_at_once.bearer("alice")
    with (
        grpc.insecure_channel(one_at_once.grpc_address) as channel,
        httpx.Client(
            base_url=one_at_once.base_url, headers=bearer, trust_env=False, verify=NO_TLS
        ) as http,
    ):
        uploads = upload_service_pb2_grpc.UploadServiceStub(channel)
        call = uploads.WriteUpload.future(messages(), metadata=tuple(bearer.items()))
        try:
            upload_id = str(dict(call.initial_metadata())["x-upload-id"])
            refused = http.post("/v1/media:upload?filename=a.jpg", content=jpeg())
            assert refusal(refused) == (429, "SERVER_BUSY")
            assert refused.headers["retry-after"] == "1"
            append = {"Upload-Offset": str(len(data)), "Upload-Complete": "?1"}
            path = f"/v1/uploads/{upload_id}/content"
            assert refusal(http.patch(path, content=b"x", headers=append)) == (429, "SERVER_BUSY")
        finally:
            release.set()
        assert call.result().state == upload_pb2.Upload.FINISHED
        assert http.post("/v1/media:upload?filename=a.jpg", content=jpeg()).status_code == 201


@contextmanager
def serve(database_url: str, data_dir: Path, limit: str) -> Iterator[tuple[int, str]]:
    """Runs `serve` with a limit of open files; yields its process id and its output up to
    readiness."""
    port = free_port()
    environ = {
        **os.environ,
        "MEDIA_DATABASE_URL": database_url,
        "MEDIA_DATA_DIR": str(data_dir),
        "MEDIA_GRPC_PORT": str(port),
        "MEDIA_JWT_SECRET": "a secret of at least thirty-two bytes",
    }
    command = f'ulimit {limit} && exec "{sys.executable}" -m media_service serve'
    process = subprocess.Popen(
        ["sh", "-c", command], env=environ, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "server ready" in line:
                break
        yield process.pid, "".join(lines)
    finally:
        process.terminate()
        process.communicate()


def test_a_server_raises_its_limit_of_open_files(database_url: str, tmp_path: Path) -> None:
    with serve(database_url, tmp_path, "-Sn 300") as (pid, said):
        soft, hard = psutil.Process(pid).rlimit(psutil.RLIMIT_NOFILE)
        assert soft == hard > 300
        assert "ready" in said


def test_a_server_reports_a_too_low_limit_of_open_files(database_url: str, tmp_path: Path) -> None:
    with serve(database_url, tmp_path, "-n 700") as (_, said):
        assert "may open 700 files, so it accepts 179 upload streams at once, not 10000" in said
