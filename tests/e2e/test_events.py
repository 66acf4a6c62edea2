"""Events as other programs get them, from a service whose parts are killed."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from media_service_client import Client, MediaServiceError
from tests.support.media.small_files import jpeg
from tests.support.rest import client_of, store
from tests.support.service import Service, environment, running
from tests.support.stores.valkey_server import ValkeyServer
from tests.support.tools import eventually


@pytest.fixture(scope="module")
def broker() -> Iterator[ValkeyServer]:
    with ValkeyServer() as server:
        yield server


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, broker: ValkeyServer) -> Iterator[Service]:
    environ = environment(
        tmp_path_factory.mktemp("told") / "data",
        MEDIA_EVENTS_REDIS=broker.url,
        MEDIA_EVENTS_REDIS_STREAMS=broker.url,
        MEDIA_THUMBNAILS="small=16",
    )
    with running(environ) as service:
        yield service


def test_a_subscriber_of_redis_sees_photos_come_and_go(told: Service, broker: ValkeyServer) -> None:
    client: Any = Redis.from_url(broker.url)
    subscriber = client.pubsub()
    subscriber.psubscribe("photo:*")
    assert subscriber.get_message(timeout=20)
    with client_of(told, "ann") as ann:
        media_id = store(ann, jpeg())["mediaId"]
        uploaded = json.loads(eventually(lambda: subscriber.get_message(timeout=1))["data"])
        assert (uploaded["id"], uploaded["userId"]) == (media_id, "ann")
        path = uploaded["url"].partition("/v1/")[2]
        assert ann.get(f"/v1/{path}").content == jpeg()
        ann.delete(f"/v1/media/{media_id}").raise_for_status()
        deleted = eventually(lambda: subscriber.get_message(timeout=1))
    assert (deleted["channel"], json.loads(deleted["data"])) == (
        b"photo:deleted",
        {"id": media_id},
    )
    subscriber.close()
    client.close()


class Watcher(threading.Thread):
    """Follows events with the client of Python, which resumes by itself."""

    def __init__(self, service: Service) -> None:
        super().__init__(daemon=True)
        self._client = Client(service.grpc_address, token=service.token("eve"))
        self.begun = threading.Event()
        self.got: list[tuple[str, int]] = []

    def run(self) -> None:
        try:
            for seen in self._client.watch_events(types=["media.*"]):
                self.begun.set()
                if seen.HasField("event"):
                    self.got.append((seen.event.subject, seen.event.sequence))
        except (MediaServiceError, ValueError):
            return  # it is closed

    def close(self) -> None:
        self._client.close()


def check_order(events: list[tuple[str, int]]) -> None:
    """Without repeated ones, those of each media come in order and without gaps."""
    last: dict[str, int] = {}
    for subject, number in events:
        assert number <= last.get(subject, 0) + 1, (subject, events)
        last[subject] = max(last.get(subject, 0), number)


def test_watchers_and_streams_miss_nothing_when_parts_are_killed(
    told: Service, broker: ValkeyServer
) -> None:
    watcher = Watcher(told)
    watcher.start()
    assert watcher.begun.wait(20)
    stored: list[str] = []
    with client_of(told, "eve") as eve:

        def upload(count: int) -> None:
            while count:
                try:
                    stored.append(store(eve, jpeg())["mediaId"])
                    count -= 1
                except Exception:  # the server is being replaced
                    time.sleep(0.2)

        upload(3)
        told.part("serve").kill()
        upload(3)
        told.part("work").kill()
        broker.stop()
        upload(3)
        status = waiting_of(told)
        broker.start()
        upload(3)
    wanted = {(f"media/{media_id}", number) for media_id in stored for number in (1, 2)}
    eventually(lambda: wanted <= set(watcher.got))
    check_order(watcher.got)
    watcher.close()
    assert {"relay", "redis", "redis_streams"} <= status
    client: Any = Redis.from_url(broker.url)

    def streamed() -> list[tuple[str, int]]:
        entries = [json.loads(fields[b"event"]) for _, fields in client.xrange("media:events")]
        return [(e["subject"], int(e["sequence"])) for e in entries if "sequence" in e]

    # What the stream had before the kill is gone with the broker, which keeps nothing on disk.
    later = {pair for pair in wanted if pair[0].removeprefix("media/") in stored[6:]}
    eventually(lambda: later <= set(streamed()))
    client.close()


def waiting_of(service: Service) -> set[str]:
    """The places that `media-service events status --json` shows."""
    command = [sys.executable, "-m", "media_service", "events", "status", "--json"]
    done = subprocess.run(
        command, env=service.environ, capture_output=True, text=True, timeout=60, check=True
    )
    return {place["name"] for place in json.loads(done.stdout)["places"]}


def test_a_command_prints_events_from_a_cursor(told: Service, tmp_path: Path) -> None:
    client = Client(told.grpc_address, token=told.token("bob"))
    cursor = next(iter(client.watch_events())).cursor
    with client_of(told, "bob") as bob:
        media_id = store(bob, jpeg())["mediaId"]
    command = [sys.executable, "-m", "media_service", "events", "watch", "--cursor", cursor]
    environ = {**told.environ, "MEDIA_TOKEN": told.token("bob")}
    with (tmp_path / "out").open("w") as out:
        process = subprocess.Popen(
            [*command, "--type", "media.created"], env=environ, stdout=out, text=True
        )
        printed = eventually((tmp_path / "out").read_text)
        process.terminate()
        process.wait(20)
    assert printed.split("\t")[2:] == ["media.created", f"media/{media_id}", "1\n"]
    client.close()
