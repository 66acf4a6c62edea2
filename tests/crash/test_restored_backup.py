"""After the database was restored from a backup, consumers of events learn that, and resync."""

import json
import subprocess
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
from mediaservice.v1 import event_pb2
from redis import Redis

from media_service.db.embedded_postgres import programs
from media_service.events.sinks.redis_streams import STREAM
from media_service_client import Client, MediaServiceError
from tests.support.crash.deployment import Deployment, new_deployment
from tests.support.media.small_files import jpeg
from tests.support.rpc.server import token
from tests.support.stores.valkey_server import ValkeyServer
from tests.support.tools import eventually


def postgres_program(name: str, *arguments: str) -> bytes:
    command = [str(programs() / name), *arguments]
    return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout


def restore(deployment: Deployment, postgres: str, backup: bytes) -> None:
    url = deployment.database_url
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    with psycopg.connect(postgres, autocommit=True) as db:
        db.execute(f"drop database {name} with (force)".encode())
        db.execute(f"create database {name}".encode())
    command = [str(programs() / "pg_restore"), "--dbname", url]
    subprocess.run(command, input=backup, check=True, timeout=60)


def followed(client: Client, cursor: str, media_id: str) -> list[event_pb2.Event]:
    """The events from a cursor on, until this media is ready."""
    found = []
    for seen in client.watch_events(cursor):
        if seen.HasField("event"):
            found.append(seen.event)
            if (seen.event.type, seen.event.subject) == ("media.ready", f"media/{media_id}"):
                break
    return found


def subjects(events: Sequence[event_pb2.Event]) -> set[str]:
    return {event.subject for event in events if event.sequence}


def test_consumers_resync(postgres: str, template: str) -> None:
    with (
        ValkeyServer() as redis,
        new_deployment(
            postgres, template, MEDIA_EVENTS_REDIS_STREAMS=redis.url, MEDIA_THUMBNAILS="small=16"
        ) as deployment,
    ):
        stream: Any = Redis.from_url(redis.url)

        def streamed(media_id: str) -> list[str]:
            """The epochs of the events of a media, in the order of the stream."""
            subject = f"media/{media_id}"
            return [
                entry.decode().partition("-")[0]
                for entry, fields in stream.xrange(STREAM)
                if json.loads(fields[b"event"])["subject"] == subject
            ]

        server, worker = deployment.start("serve"), deployment.start("work")
        with Client(server.address, token=token("ann")) as client:
            begin = next(iter(client.watch_events())).cursor
            kept = client.upload(jpeg(8)).media_id
            before = followed(client, begin, kept)[-1].cursor
            backup = postgres_program(
                "pg_dump", "--format=custom", f"--dbname={deployment.database_url}"
            )
            lost = client.upload(jpeg(9)).media_id
            newest = followed(client, before, lost)[-1].cursor
            eventually(lambda: len(streamed(lost)) >= 2)
        server.stop()
        worker.stop()

        restore(deployment, postgres, backup)
        assert "Cursors begin with" in deployment.run("events", "new-epoch")
        server, worker = deployment.start("serve"), deployment.start("work")
        with Client(server.address, token=token("ann")) as client:
            for cursor in (before, newest):
                with pytest.raises(MediaServiceError) as expired:
                    next(iter(client.watch_events(cursor)))
                assert expired.value.reason == "CURSOR_EXPIRED"
            # As docs/events.md says: a cursor first, then what is followed, then what comes.
            begin = next(iter(client.watch_events())).cursor
            assert [media.media_id for media in client.list()] == [kept]
            added = client.upload(jpeg(10)).media_id
            told = followed(client, begin, added)
            assert subjects(told) == {f"media/{added}"}
            # The stream takes events of the new epoch behind those that it has.
            eventually(lambda: len(streamed(added)) >= 2)
            assert {*streamed(added)} == {begin.partition("-")[0]}
            assert {*streamed(lost)} == {newest.partition("-")[0]}
        stream.close()
