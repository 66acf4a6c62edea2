"""`media-service events`: follows events, and shows how far the relay and the sinks are."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

import click

from media_service.cli import output
from media_service.cli.client_command import client_command
from media_service.cli.data_dir import borrowed_database
from media_service.cli.json_output import json_of, json_option, print_json
from media_service.cli.service_process import settings
from media_service.config import Config, ConfigError
from media_service.db.migrate import is_current
from media_service.errors import MediaError
from media_service.events.status import Status
from media_service_client import Client

T = TypeVar("T")


@click.group()
def events() -> None:
    """Follows what happens, and shows how far events are."""


@events.command(
    epilog="""\b
Examples:
  media-service events watch --type 'media.*'
  media-service events watch --json --cursor 1796083200000-4711 | jq .type
"""
)
@click.option("--cursor", default="", help="Begin behind this event, not now.")
@click.option("--type", "types", multiple=True, help="Only such events: media.created, media.*")
@click.option("--project", default="", metavar="ID", help="Only events of this project.")
@json_option
@client_command
def watch(client: Client, cursor: str, types: tuple[str, ...], project: str, json_: bool) -> None:
    """Prints events as they happen, until it is stopped.

    Each line has the cursor, the time, the type, the subject and the number of the event among
    those about its media, separated by tabs. To go on later, pass the last cursor.
    """
    for seen in client.watch_events(cursor, types=types, project_id=project):
        if not seen.HasField("event"):
            continue
        event = seen.event
        if json_:
            print_json(json_of(event))
            continue
        fields = [
            event.cursor,
            event.time.ToJsonString(),
            event.type,
            event.subject,
            str(event.sequence or "-"),
        ]
        print(("  " if output.on_terminal() else "\t").join(fields), flush=True)


@events.command()
@json_option
def status(json_: bool) -> None:
    """Shows what waits for the relay, and for each sink.

    Each line has the name, the cursor, how many events wait, for how many seconds the oldest of
    them, and the error of the delivery that is being retried, separated by tabs. The exit status is
    1 if that is more than 30 seconds somewhere. It uses MEDIA_DATABASE_URL, or the database of
    `media-service dev` in MEDIA_DATA_DIR.
    """
    from media_service.app import event_status  # noqa: PLC0415 - the whole service, not for --help

    found = with_database(event_status)
    rows = [
        {
            "name": "relay",
            "cursor": str(found.newest),
            "waiting": found.waiting,
            "lagSeconds": seconds_of(found, found.since),
            "since": text_of(found.since),
            "error": "",
        },
        *(
            {
                "name": sink.name,
                "cursor": str(sink.cursor),
                "waiting": sink.waiting,
                "lagSeconds": seconds_of(found, sink.since),
                "since": text_of(sink.since),
                "failingSince": text_of(sink.failing_since),
                "attempts": sink.attempts,
                "error": sink.error,
                "seenTime": text_of(sink.seen_time),
            }
            for sink in found.sinks
        ),
    ]
    if json_:
        print_json({"time": text_of(found.time), "oldest": str(found.oldest), "places": rows})
    else:
        columns = ("name", "cursor", "waiting", "lagSeconds", "error")
        for row in rows:
            shown = [str(row[name]) or "-" for name in columns]
            print("\t".join(map(output.printable, shown)))
    if late := found.lags():
        for lag in late:
            output.complain(lag)
        raise SystemExit(1)


@events.command("new-epoch")
def new_epoch() -> None:
    """Makes all cursors that consumers have invalid, after the database was restored from a backup.

    Events that happened after the backup are lost with it, and numbers are given again. Consumers
    are told with CURSOR_EXPIRED to read again what they follow.
    """
    from media_service.app import new_event_epoch  # noqa: PLC0415 - as above

    click.echo(f"Cursors begin with {with_database(new_event_epoch)} now.")


def with_database(use: Callable[[Config], Awaitable[T]]) -> T:
    async def run(config: Config) -> T:
        if not await is_current(config.database_url):
            raise ConfigError("the database does not have the schema of this version")
        return await use(config)

    try:
        with borrowed_database(settings()) as url:
            return asyncio.run(run(replace(settings(), database_url=url)))
    except (MediaError, ConfigError) as error:
        output.complain(str(error))
        raise SystemExit(1) from None


def seconds_of(found: Status, since: datetime | None) -> int:
    return round(found.lag(since).total_seconds())


def text_of(time: datetime | None) -> str:
    return time.isoformat(timespec="seconds") if time else ""
