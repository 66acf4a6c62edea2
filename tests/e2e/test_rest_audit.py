"""The audit log over REST, and with the command."""

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address

import httpx
import pytest

from tests.support.media.small_files import jpeg
from tests.support.rest import client_of, refusal, store
from tests.support.service import Service

SECONDS = 60


@pytest.fixture
def bob(service: Service) -> Iterator[httpx.Client]:
    with client_of(service, "bob") as client:
        yield client


def eventually(found: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not found():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_who_downloaded_what(
    service: Service, http: httpx.Client, alice: httpx.Client, bob: httpx.Client
) -> None:
    media = store(alice, jpeg())["mediaId"]
    path = f"/v1/media/{media}/access"
    link = alice.post(f"/v1/media/{media}:signUrl", json={}).json()["url"]
    agent = {"user-agent": "curl/8", "x-request-id": "request-1"}
    assert http.get(link, headers=agent).content == jpeg()
    for first in (0, 10, 20):
        part = {"range": f"bytes={first}-{first + 9}"}
        assert alice.get(f"/v1/media/{media}/content", headers=part).status_code == 206
    assert alice.head(f"/v1/media/{media}/content").status_code == 200
    assert refusal(bob.get(f"/v1/media/{media}/content")) == (404, "MEDIA_NOT_FOUND")

    def listed() -> list[dict[str, object]]:
        found: list[dict[str, object]] = alice.get(path).json()["entries"]
        return found

    eventually(lambda: len(listed()) >= 6)
    entries = sorted(listed(), key=lambda entry: str(entry["time"]))
    shown = [(e["category"], e["action"], e["actor"]["id"], e["counted"]) for e in entries]  # type: ignore[index]
    address = entries[2]["actor"]["address"]  # type: ignore[index]
    assert ip_address(address)
    assert shown == [
        ("CHANGE", "media.create", "alice", False),
        ("SHARE", "media.sign", "alice", False),
        ("DOWNLOAD", "media.download", address, True),
        ("DOWNLOAD", "media.download", "alice", True),
        ("DOWNLOAD", "media.download", "alice", False),
        ("DENIAL", "media.read", "bob", False),
    ]
    by_link = entries[2]
    assert by_link["actor"]["userAgent"] == "curl/8"  # type: ignore[index]
    assert by_link["actor"]["credentialId"] == entries[1]["resourceId"] != ""  # type: ignore[index]
    assert by_link["byteCount"] == str(len(jpeg()))
    assert refusal(bob.get(path)) == (404, "MEDIA_NOT_FOUND")

    # ExportAudit, as files.
    lines = alice.get(f"{path}:export").text.splitlines()
    assert [json.loads(line)["action"] for line in lines] == [e["action"] for e in entries]
    table = alice.get(f"{path}:export", params={"format": "CSV"})
    assert table.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(table.text.splitlines()))
    assert [row["actor.id"] for row in rows][:5] == [name for _, _, name, _ in shown][:5]
    assert alice.head(f"{path}:export").status_code == 200
    assert refusal(bob.get(f"{path}:export")) == (404, "MEDIA_NOT_FOUND")
    later = alice.get(f"{path}:export", params={"startTime": "2100-01-01T00:00:00Z"})
    assert later.text == ""
    environ = {
        **os.environ,
        "MEDIA_ADDRESS": service.grpc_address,
        "MEDIA_TOKEN": service.token("alice"),
    }
    for command, expected in (
        (["history", media, "--category", "download"], "media.download"),
        (["activity"], "media.sign"),
        (["analytics", media, "--days", "7"], "total"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "media_service", "audit", *command],
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
    mine = alice.get("/v1/activity", params={"category": "SHARE"}).json()["entries"]
    assert "media.sign" in [entry["action"] for entry in mine]
    assert alice.get(f"/v1/media/{media}/analytics", params={"days": 7}).status_code == 200
