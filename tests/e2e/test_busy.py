"""A server that has as many uploads as it takes says so over REST, too."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import grpc
import httpx
import pytest
from media.v1 import upload_pb2, upload_service_pb2, upload_service_pb2_grpc

from tests.e2e.conftest import Service, environment, running
from tests.e2e.rest import refusal
from tests.media_files import film, jpeg

Message = upload_service_pb2.WriteUploadRequest


@pytest.fixture
def one_at_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("busy")
    with running(environment(Path(folder) / "data", MEDIA_MAX_STREAMS="1")) as service:
        yield service


def test_too_many_uploads_are_429_with_retry_after(one_at_once: Service) -> None:
    data, release = film(1 << 10), Event()

    def messages() -> Iterator[Message]:
        first = Message(data=data)
        first.spec.filename = "film.mp4"
        yield first
        release.wait()
        yield Message(offset=len(data), finish=True)

    bearer = one_at_once.bearer("alice")
    with (
        grpc.insecure_channel(one_at_once.grpc_address) as channel,
        httpx.Client(base_url=one_at_once.base_url, headers=bearer, trust_env=False) as http,
    ):
        uploads = upload_service_pb2_grpc.UploadServiceStub(channel)
        call = uploads.WriteUpload.future(messages(), metadata=tuple(bearer.items()))
        try:
            upload_id = dict(call.initial_metadata())["x-upload-id"]
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
