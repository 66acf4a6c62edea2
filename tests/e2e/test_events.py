"""Events as other programs get them."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from media_service_client import Client
from tests.support.crash.event_consumers import Watcher, problems
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
def told(broker: ValkeyServer) -> Iterator[Service]:
    with tempfile.TemporaryDirectory(prefix="media-e2e-") as folder:
        environ = environment(
            Path(folder) / "data", MEDIA_EVENTS_REDIS=broker.url, MEDIA_THUMBNAILS="small=16"
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


def test_a_watch_goes_on_after_the_server_was_killed(told: Service) -> None:
    watcher = Watcher(told.grpc_address, told.token("eve"))
    with client_of(told, "eve") as eve:
        stored = [store(eve, jpeg())["mediaId"]]
        told.part("serve").kill()
        stored.append(store_again_and_again(eve))
    wanted = {(f"media/{media_id}", number) for media_id in stored for number in (1, 2)}
    eventually(lambda: wanted <= {(each.subject, each.number) for each in watcher.got})
    media = [each for each in watcher.got if each.number]
    assert problems("WatchEvents", media, media) == []
    watcher.close()
    command = [sys.executable, "-m", "media_service", "events", "status"]
    done = subprocess.run(
        command, env=told.environ, capture_output=True, text=True, timeout=60, check=True
    )
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == [
        *("relay", "redis", "webhooks"),
    ]


def store_again_and_again(client: httpx.Client) -> str:
    """Stores an image as soon as there is a server again. Returns the id of its media."""

    def stored() -> str:
        with suppress(httpx.HTTPError, AssertionError):
            return str(store(client, jpeg())["mediaId"])
        return ""

    return eventually(stored)


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
