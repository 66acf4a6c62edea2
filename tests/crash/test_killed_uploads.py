"""Acknowledged bytes are never lost, whichever process is killed."""

import hashlib
import re
import tempfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from media_service.ids import new_id
from tests.support.commands import command, output
from tests.support.crash.held_line import held_line
from tests.support.crash.machine import Machine
from tests.support.media.small_files import jpeg, video_bytes
from tests.support.rest import (
    NO_MEDIA,
    client_of,
    content,
    create,
    media_of,
    offset_of,
    open_request,
    refusal,
    resume,
    settled,
    sha256,
    store,
)
from tests.support.service import environment, running
from tests.support.tools import eventually

MIB = 1 << 20


def active_upload(client: httpx.Client) -> dict[str, Any] | None:
    """The user's only active upload, once some of its bytes are durable."""
    uploads = client.get("/v1/uploads", params={"state": "ACTIVE"}).json().get("uploads", [])
    return uploads[0] if uploads and int(uploads[0]["committedSizeBytes"]) else None


def require_stored(client: httpx.Client, upload: str, data: bytes) -> None:
    """Requires every byte, and the right checksum in the catalog."""
    media = media_of(client, upload)
    assert content(client, media) == data
    assert sha256(settled(client, media)) == hashlib.sha256(data).digest()


@pytest.mark.parametrize("parallel", ["1", "4"])
def test_an_upload_whose_client_was_killed_is_resumed_by_another(
    machine: Machine, tmp_path: Path, parallel: str
) -> None:
    data, user = video_bytes(8 * MIB), f"user-{new_id()}"
    file = tmp_path / "video.mp4"
    file.write_bytes(data)
    service = machine.service
    with client_of(service, user) as client:
        with held_line(service.grpc_address, 3 * MIB) as line:
            first = command(service, "upload", str(file), address=line.address, user=user)
            upload = eventually(lambda: active_upload(client))["uploadId"]
            first.kill()
            printed, said = first.communicate()
            assert not printed
            (key,) = re.findall(r"--resume (\S+) ", said)
        kept = offset_of(client, upload)
        assert 0 < kept < len(data)
        again = ("--resume", key, "--parallel", parallel, str(file))
        second = command(service, "upload", *again, user=user)
        stored = [media_of(client, upload), str(len(data))]
        assert output(second).split("\t")[:2] == stored
        require_stored(client, upload, data)


def test_an_upload_resumes_at_its_committed_size_after_the_service_is_killed(
    machine: Machine, tmp_path: Path
) -> None:
    data, user = video_bytes(8 * MIB), f"user-{new_id()}"
    file = tmp_path / "video.mp4"
    file.write_bytes(data)
    service = machine.service
    with client_of(service, "bob") as bob, client_of(service, user) as client:
        upload = create(bob, sizeBytes=len(data))
        with (
            held_line(service.grpc_address, 3 * MIB) as line,
            open_request(
                service,
                "bob",
                "PATCH",
                f"/v1/uploads/{upload}/content",
                Upload_Offset=0,
                Content_Length=len(data),
            ) as connection,
        ):
            # One user sends over REST, another with our client.
            connection.sendall(data[: 2 * MIB])
            sending = command(service, "upload", str(file), address=line.address, user=user)
            other = eventually(lambda: active_upload(client))
            eventually(lambda: offset_of(bob, upload) == 2 * MIB)
            connection.sendall(data[2 * MIB : 3 * MIB])  # not acknowledged yet
            machine.kill()
            line.release()
            machine.restart()
            kept = client.get(f"/v1/uploads/{other['uploadId']}").json()
            assert int(kept["committedSizeBytes"]) >= int(other["committedSizeBytes"])
            assert offset_of(bob, upload) >= 2 * MIB
            # Our client continues by itself. Over REST, the caller asks for the offset.
            assert output(sending).split("\t")[0] == other["mediaId"]
        assert resume(bob, upload, data).json()["state"] == "FINISHED"
        require_stored(bob, upload, data)
        require_stored(client, other["uploadId"], data)


def test_parts_listed_after_the_service_is_killed_complete_the_upload(machine: Machine) -> None:
    data = video_bytes(3 * MIB)
    with client_of(machine.service, "bob") as bob:
        upload = create(bob, sizeBytes=len(data))
        path = f"/v1/uploads/{upload}/content"
        with open_request(
            machine.service, "bob", "PATCH", path, Upload_Offset=0, Content_Length=len(data)
        ) as connection:
            connection.sendall(data[: 2 * MIB])
            eventually(lambda: offset_of(bob, upload) > 0)
            machine.kill_part("serve")
        eventually(lambda: bob.get("/v1/media").status_code == 200)
        now = bob.get(f"/v1/uploads/{upload}").json()
        kept, number = int(now["committedSizeBytes"]), now["nextPartNumber"]
        rest = bob.put(f"/v1/uploads/{upload}/parts/{number}", content=data[kept:])
        assert rest.status_code == 200, rest.text
        parts = bob.get(f"/v1/uploads/{upload}/parts").json()["parts"]
        assert sum(int(part["sizeBytes"]) for part in parts) == len(data)
        done = bob.post(f"/v1/uploads/{upload}:complete", json={"parts": parts})
        assert done.json().get("state") == "FINISHED", done.text
        require_stored(bob, upload, data)


def test_an_interrupted_upload_in_one_request_leaves_nothing(
    machine: Machine,
) -> None:
    data, user = video_bytes(8 * MIB), f"user-{new_id()}"
    path = "/v1/media:upload?filename=a.mp4"
    with client_of(machine.service, user) as client:
        with open_request(
            machine.service, user, "POST", path, Content_Length=len(data)
        ) as connection:
            connection.sendall(data[: 3 * MIB])
            media = eventually(lambda: active_upload(client))["mediaId"]
            machine.kill_part("serve")
        eventually(lambda: client.get("/v1/media").status_code == 200)
        assert client.get("/v1/media").json() == NO_MEDIA
        assert refusal(client.get(f"/v1/media/{media}")) == (404, "MEDIA_NOT_FOUND")


def test_two_services_on_one_machine_are_independent(machine: Machine) -> None:
    first = machine.service
    with (
        tempfile.TemporaryDirectory(prefix="media-second-") as folder,
        running(environment(Path(folder) / "data", MEDIA_JWT_SECRET=first.secret)) as second,
        client_of(first, "alice") as here,
        client_of(second, "alice") as there,
    ):
        data = jpeg()
        one, two = store(here, data)["mediaId"], store(there, data)["mediaId"]
        assert settled(here, one)["state"] == settled(there, two)["state"] == "READY"
        assert content(here, one) == content(there, two) == data
        assert refusal(there.get(f"/v1/media/{one}")) == (404, "MEDIA_NOT_FOUND")
        assert refusal(here.get(f"/v1/media/{two}")) == (404, "MEDIA_NOT_FOUND")
