"""Every example in the comments of the contract works as written."""

import os
import secrets
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from crc32c import crc32c

from contract.descriptors import Contract
from contract.examples import commands
from media_service.rpc.server import SERVICES
from tests.support.media.numbered_frames import counted
from tests.support.media.small_files import jpeg
from tests.support.rest import client_of, store
from tests.support.service import Service
from tests.support.tools import eventually, require_tool

CONTRACT = Contract.current()
EXAMPLES = {
    method.full_name: found
    for service in SERVICES
    for method in service.methods
    if (found := commands(CONTRACT.comment(method.full_name).text))
}
USER = "erin"
PHOTO = jpeg(640, 480)
# Keeps one core busy for some seconds.
SLOW = "resize:5000x5000:fit=fill:enlarge=true,blur:20,convert:WEBP:effort=6"
# Makes curl fail on an HTTP error.
PRELUDE = 'set -euo pipefail; curl() { command curl --fail-with-body -sS "$@"; }\n'
# Their commands form a sequence; all others start from a fresh state.
ONE_STORY = {"GetPublic"}


def settled(client: httpx.Client, path: str, states: set[str]) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = client.get(path).raise_for_status().json()
        return found if found["state"] in states else None

    return eventually(look, 120)


def image(client: httpx.Client) -> dict[str, str]:
    """A media that was just uploaded, and the job that inspects it."""
    return uploaded_media(client, PHOTO, "photo.jpg")


def inspected(client: httpx.Client) -> dict[str, str]:
    """A media that is READY, and its job."""
    names = image(client)
    settled(client, f"/v1/media/{names['MEDIA']}", {"READY"})
    return names


def uploaded_media(client: httpx.Client, data: bytes, filename: str) -> dict[str, str]:
    media_id = store(client, data, filename)["mediaId"]
    answer = client.get("/v1/jobs", params={"mediaId": media_id}).raise_for_status()
    (ingest,) = [job for job in answer.json()["jobs"] if job["type"] == "INGEST"]
    return {"MEDIA": media_id, "JOB": ingest["jobId"]}


def with_job(client: httpx.Client, names: dict[str, str], ops: str) -> dict[str, str]:
    answer = client.post(f"/v1/media/{names['MEDIA']}:process", json={"ops": ops})
    return {**names, "JOB": answer.raise_for_status().json()["jobId"]}


def processing(client: httpx.Client) -> dict[str, str]:
    """A job that runs for a while."""
    return with_job(client, image(client), SLOW)


def streamed(client: httpx.Client) -> dict[str, str]:
    """A video that was just uploaded, and the job of its stream."""
    return with_job(client, uploaded_media(client, counted(2), "video.mp4"), "stream")


def cancelled(client: httpx.Client) -> dict[str, str]:
    names = processing(client)
    client.post(f"/v1/jobs/{names['JOB']}:cancel").raise_for_status()
    return names


def deleted(client: httpx.Client) -> dict[str, str]:
    names = image(client)
    client.delete(f"/v1/media/{names['MEDIA']}").raise_for_status()
    return names


def replaced(client: httpx.Client) -> dict[str, str]:
    """A media with two versions."""
    names = image(client)
    params = {"spec.mediaId": names["MEDIA"]}
    client.post("/v1/media:upload", params=params, content=PHOTO).raise_for_status()

    def current() -> bool:
        return bool(client.get(f"/v1/media/{names['MEDIA']}").json()["version"] == 2)

    eventually(current)
    return names


def uploading(client: httpx.Client) -> dict[str, str]:
    """An upload without bytes."""
    upload = client.post("/v1/uploads", json={"filename": "photo.jpg"}).raise_for_status()
    return {"UPLOAD": upload.json()["uploadId"]}


def uploaded(client: httpx.Client) -> dict[str, str]:
    """An upload that only has to be completed."""
    names = uploading(client)
    headers = {"upload-offset": "0"}
    path = f"/v1/uploads/{names['UPLOAD']}/content"
    client.patch(path, headers=headers, content=PHOTO).raise_for_status()
    return names


def finished(client: httpx.Client) -> dict[str, str]:
    names = uploaded(client)
    client.post(f"/v1/uploads/{names['UPLOAD']}:complete", json={}).raise_for_status()
    return names


def signed(client: httpx.Client) -> dict[str, str]:
    """A URL that accepts the file."""
    names = uploading(client)
    part = {"partNumber": 1, "sizeBytes": len(PHOTO), "crc32c": crc32c(PHOTO)}
    answer = client.post(f"/v1/uploads/{names['UPLOAD']}:sign", json={"parts": [part]})
    return {**names, "SIGNED_URL": answer.raise_for_status().json()["parts"][0]["url"]}


def with_account(client: httpx.Client) -> dict[str, str]:
    """A service account."""
    answer = client.post("/v1/serviceAccounts", json={"displayName": "robot"}).raise_for_status()
    return {"SERVICE_ACCOUNT": answer.json()["serviceAccountId"]}


def with_key(client: httpx.Client) -> dict[str, str]:
    """A service account, and an API key of it."""
    names = with_account(client)
    path = f"/v1/serviceAccounts/{names['SERVICE_ACCOUNT']}/apiKeys"
    answer = client.post(path, json={}).raise_for_status()
    return {**names, "API_KEY": answer.json()["apiKey"]["apiKeyId"]}


@pytest.fixture(scope="module")
def administrator(service: Service) -> None:
    """Makes USER an administrator."""
    command = [sys.executable, "-m", "media_service", "admin", "grant", USER]
    subprocess.run(command, env={**service.environ, **service.settings()}, check=True)


def administering(client: httpx.Client) -> dict[str, str]:
    """A project, a group of an organization, and a media."""
    name = f"org-{secrets.token_hex(4)}"

    def create(path: str, **fields: str) -> dict[str, Any]:
        answer: dict[str, Any] = client.post(path, json=fields).raise_for_status().json()
        return answer

    create("/v1/organizations", organizationId=name)
    group = create(f"/v1/organizations/{name}/groups", displayName="Editors")["groupId"]
    project = create("/v1/projects", displayName="Vacation")["projectId"]
    return {**image(client), "ORGANIZATION": name, "GROUP": group, "PROJECT": project}


def erasing(client: httpx.Client) -> dict[str, str]:
    """The erasure of another user."""
    answer = client.post("/v1/users:erase", json={"userId": "ann"}).raise_for_status()
    return {"ERASURE": answer.json()["erasureId"]}


def sharing(client: httpx.Client) -> dict[str, str]:
    """A media, a project, and a share link."""
    names = image(client)
    project = client.post("/v1/projects", json={"displayName": "Vacation"}).raise_for_status()
    body = {"targets": [f"media:{names['MEDIA']}"], "mode": "VIEW"}
    created = client.post("/v1/shareLinks", json=body).raise_for_status().json()
    return {
        **names,
        "PROJECT": project.json()["projectId"],
        "SHARE_LINK": created["shareLink"]["shareLinkId"],
        "SECRET": created["secret"],
    }


def collecting(client: httpx.Client) -> dict[str, str]:
    """A media, and a collection."""
    created = client.post("/v1/collections", json={"title": "Album"}).raise_for_status().json()
    return {**image(client), "COLLECTION": created["collectionId"]}


def duplicates(client: httpx.Client) -> dict[str, str]:
    """Two media."""
    return {**image(client), "OTHER": image(client)["MEDIA"]}


def hooking(client: httpx.Client) -> dict[str, str]:
    """A project, and a webhook."""
    project = client.post("/v1/projects", json={"displayName": "Vacation"}).raise_for_status()
    body = {"url": "https://hooks.example.com/media"}
    created = client.post("/v1/webhooks", json=body).raise_for_status().json()
    return {
        "PROJECT": project.json()["projectId"],
        "WEBHOOK": created["webhook"]["webhookId"],
    }


def archived(client: httpx.Client) -> dict[str, str]:
    """A media, and an archive of it."""
    names = inspected(client)
    body = {"mediaIds": [names["MEDIA"]]}
    created = client.post("/v1/archives", json=body).raise_for_status().json()
    return {**names, "ARCHIVE": created["archiveId"]}


PREPARE: dict[str, Callable[[httpx.Client], dict[str, str]]] = {
    "CompleteUpload": uploaded,
    "CopyMedia": sharing,
    "WatchCollection": collecting,
    "StreamCollection": collecting,
    **dict.fromkeys(
        [
            *("CreateWebhook", "GetWebhook", "ListWebhooks", "DeleteWebhook"),
            *("UpdateWebhook", "RotateWebhookSecret", "RedeliverWebhookEvents"),
            "ListWebhookDeliveries",
        ],
        hooking,
    ),
    "WatchUpload": finished,
    "WatchUploadEvents": finished,
    "PutSigned": signed,
    "GetStream": streamed,
    "DeleteRendition": inspected,
    "DeleteVersion": replaced,
    "RestoreVersion": replaced,
    "CancelJob": processing,
    "RetryJob": cancelled,
    "UndeleteMedia": deleted,
    "PurgeMedia": deleted,
    "EmptyTrash": deleted,
    "DeleteServiceAccount": with_account,
    "CreateApiKey": with_account,
    "ListApiKeys": with_account,
    "RevokeApiKey": with_key,
    "GetProjectAnalytics": administering,
    "GetOrganizationAnalytics": administering,
    "ListOrganizationAccess": administering,
    "ExportProjectAudit": administering,
    "ExportOrganizationAudit": administering,
}


OF_SERVICE = {
    "UploadService": uploading,
    "AccessService": administering,
    "QuotaService": administering,
    "PolicyService": administering,
    "PrivacyService": erasing,
    "ShareLinkService": sharing,
    "BatchService": sharing,
    "CollectionService": collecting,
    "DuplicateService": duplicates,
    "ArchiveService": archived,
}


# These change nothing, so they share what is prepared.
READING = ("BatchGet", "Get", "List", "Download", "Render", "Export")


# They follow what happens, without an end.
ENDLESS = {
    *("WatchEvents", "StreamEvents", "WatchMedia", "StreamMedia"),
    *("WatchCollection", "StreamCollection"),
}


def check_begins(
    story: Sequence[str], environ: Mapping[str, str], happens: Callable[[], object]
) -> None:
    """Runs commands that never end, until they print something."""
    command = ["/bin/bash", "-c", PRELUDE + "\n".join(story)]
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            happens()
            assert process.stdout
            ready, _, _ = select.select([process.stdout], [], [], 60)
            assert ready, story
            assert os.read(process.stdout.fileno(), 1), story
        finally:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def prepared() -> dict[str, dict[str, str]]:
    """What the examples that change nothing share, by the name of what prepared it."""
    return {}


@pytest.mark.parametrize("name", EXAMPLES, ids=lambda name: name.rpartition(".")[2])
def test_the_examples_of_an_rpc_work(
    name: str,
    service: Service,
    prepared: dict[str, dict[str, str]],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    method = name.rpartition(".")[2]
    file = tmp_path / "photo.jpg"
    file.write_bytes(PHOTO)
    variables = {
        "PATH": f"{Path(require_tool('grpcurl')).parent}:{os.environ['PATH']}",
        "REST": service.base_url,
        "GRPC": service.grpc_address,
        "TOKEN": service.token(USER),
        "FILE": str(file),
    }
    examples = EXAMPLES[name]
    stories = [examples] if method in ONE_STORY else [[command] for command in examples]
    prepare = PREPARE.get(method, OF_SERVICE.get(name.split(".")[-2], image))
    if prepare in {administering, erasing}:
        request.getfixturevalue("administrator")
    shared = method.startswith(READING)
    for story in stories:
        with client_of(service, USER) as client:
            names = prepared.get(prepare.__name__) if shared else None
            names = names or prepare(client)
        if shared:
            prepared[prepare.__name__] = names
        if method in ENDLESS:
            with client_of(service, USER) as client:
                check_begins(story, {**variables, **names}, lambda: image(client))
            continue
        done = subprocess.run(
            ["/bin/bash", "-c", PRELUDE + "\n".join(story)],
            env={**variables, **names},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{story}: {done.stdout[-1000:]} {done.stderr[-1000:]}"
        if method == "RetryJob":  # otherwise its work would delay the next tests
            with client_of(service, USER) as client:
                client.post(f"/v1/jobs/{names['JOB']}:cancel").raise_for_status()
