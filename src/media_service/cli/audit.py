"""`media-service audit`: reads and verifies the audit log."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import click

from media_service.cli import output
from media_service.cli.client_command import client_command
from media_service.cli.data_dir import borrowed_database
from media_service.cli.duration import Duration
from media_service.cli.json_output import json_option, print_json
from media_service.cli.output_file import output_option, write_pieces
from media_service.cli.service_process import settings
from media_service.config import Config, ConfigError
from media_service.errors import MediaError
from media_service_client import Analytics, AuditEntry, Client

PAGE = 50
RESOURCES = ("media", "project", "organization")
CATEGORIES = [name for name, number in AuditEntry.Category.items() if number]


@click.group()
def audit() -> None:
    """Reads and verifies the audit log."""


def list_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of lists of entries."""
    for option in (
        json_option,
        click.option("--all", "everything", is_flag=True, help=f"All, not only the first {PAGE}."),
        click.option(
            "--category",
            type=click.Choice(CATEGORIES, case_sensitive=False),
            help="Only entries of this category.",
        ),
    ):
        command = option(command)
    return command


@audit.command(
    epilog="""\b
Examples:
  media-service audit history ID --category download
  media-service audit history ID --all --json > access.ndjson
"""
)
@click.argument("media_id", metavar="ID")
@list_options
@client_command
def history(
    client: Client, media_id: str, category: str | None, everything: bool, json_: bool
) -> None:
    """Lists who did what to a media, newest first.

    Each line has the time, the category, the action, the caller, the address, the outcome and the
    number of bytes, separated by tabs.
    """
    wanted = category_from(category)
    size = 1000 if everything else PAGE + 1
    found = client.media_access(media_id, category=wanted, page_size=size)
    show(found, lambda e: [e.actor.id or e.actor.type, e.actor.address], everything, json_)


@audit.command(epilog="Example: media-service audit organization acme --category denial")
@click.argument("organization_id", metavar="ID")
@list_options
@client_command
def organization(
    client: Client, organization_id: str, category: str | None, everything: bool, json_: bool
) -> None:
    """Lists who did what in an organization, newest first, in lines as those of `history`."""
    wanted = category_from(category)
    size = 1000 if everything else PAGE + 1
    found = client.organization_access(organization_id, category=wanted, page_size=size)
    show(found, lambda e: [e.actor.id or e.actor.type, e.actor.address], everything, json_)


@audit.command(epilog="Example: media-service audit activity --category change")
@click.option("--user", default="", metavar="USER", help="Of another user, for administrators.")
@list_options
@client_command
def activity(
    client: Client, user: str, category: str | None, everything: bool, json_: bool
) -> None:
    """Lists what you did, newest first.

    Each line has the time, the category, the action, the media, its file name, the outcome and the
    number of bytes, separated by tabs.
    """
    wanted = category_from(category)
    size = 1000 if everything else PAGE + 1
    found = client.activity(user_id=user, category=wanted, page_size=size)
    show(found, lambda entry: [entry.media_id, entry.filename], everything, json_)


@audit.command(
    epilog="""\b
Examples:
  media-service audit analytics ID --days 7
  media-service audit analytics project:vacation-k3x9q2ma
"""
)
@click.argument("resource", metavar="ID")
@click.option("--days", type=click.IntRange(1, 366), default=30, show_default=True)
@json_option
@client_command
def analytics(client: Client, resource: str, days: int, json_: bool) -> None:
    """Shows how often media were viewed and downloaded, and by how many users.

    ID is that of a media, project:ID or organization:ID. Each line has the day, the action, and the
    numbers of calls, views, downloads, bytes and users, separated by tabs. The last line is the
    whole period.
    """
    found = analytics_of(client, resource, days)
    if json_:
        print_json(found, indent=2)
        return
    for day in found.days:
        click.echo(numbers(day.date, day.action, day.usage))
    click.echo(numbers("total", "", found.total))


def analytics_of(client: Client, resource: str, days: int) -> Analytics:
    match resource.partition(":"):
        case "project", ":", project_id:
            return client.project_analytics(project_id, days=days)
        case "organization", ":", organization_id:
            return client.organization_analytics(organization_id, days=days)
    return client.analytics(resource.removeprefix("media:"), days=days)


@audit.command(
    epilog="""\b
Examples:
  media-service audit export media:ID > access.ndjson
  media-service audit export organization:acme --csv --since 31d -o access.csv
  media-service audit export > mine.ndjson
"""
)
@click.argument("resource", required=False, default="", metavar="[RESOURCE]")
@click.option("--user", default="", metavar="USER", help="Of another user, for administrators.")
@click.option("--csv", is_flag=True, help="CSV with a header. Default: one JSON object per line.")
@click.option("--since", type=Duration(), metavar="SPAN", help="Only of so long, such as 31d.")
@output_option
@client_command
def export(
    client: Client,
    resource: str,
    user: str,
    csv: bool,
    since: timedelta | None,
    file: Path | None,
) -> None:
    """Writes entries of the audit log, oldest first, as a file.

    RESOURCE is media:ID, project:ID or organization:ID. Without it: what you did.
    """
    if resource and user:
        raise click.UsageError("--user needs no RESOURCE: it exports what the user did")
    if resource and resource.partition(":")[0] not in RESOURCES:
        raise click.UsageError(f"{resource} is not media:ID, project:ID or organization:ID")
    start_time = datetime.now(UTC) - since if since else None
    pieces = client.export_audit(resource, user_id=user, csv=csv, start_time=start_time)
    write_pieces(file, pieces)


def numbers(day: str, action: str, usage: Any) -> str:
    counts = (usage.request_count, usage.view_count, usage.download_count, usage.byte_count)
    return "\t".join([day, action, *map(str, counts), str(usage.unique_user_count)])


def category_from(name: str | None) -> AuditEntry.Category.ValueType:
    return AuditEntry.Category.Value(name) if name else AuditEntry.CATEGORY_UNSPECIFIED


def show(
    found: Iterator[AuditEntry],
    names: Callable[[AuditEntry], list[str]],
    everything: bool,
    as_json: bool,
) -> None:
    for entry in found if everything else islice(found, PAGE):
        if as_json:
            print_json(entry)
        else:
            click.echo(line(entry, names(entry)))
    if not everything and next(found, None):
        click.echo(f"The first {PAGE}; --all lists the rest.", err=True)


def line(entry: AuditEntry, names: list[str]) -> str:
    time = entry.time.ToDatetime(UTC).isoformat(timespec="seconds")
    category = AuditEntry.Category.Name(entry.category)
    columns = [time, category, entry.action, *names, entry.outcome, str(entry.byte_count)]
    return "\t".join(output.printable(column) for column in columns)


def digest(_: click.Context, __: click.Parameter, text: str | None) -> bytes | None:
    try:
        found = bytes.fromhex(text) if text else None
    except ValueError:
        found = b""
    if found is not None and len(found) != 32:
        raise click.BadParameter("it must be a digest that `audit verify` printed")
    return found


@audit.command(
    epilog="""\b
Examples:
  media-service audit verify
  media-service audit verify --contains DIGEST   with the digest of an earlier run
"""
)
@click.option(
    "--contains",
    callback=digest,
    metavar="DIGEST",
    help="Also require this digest, which an earlier run printed, in the chain.",
)
def verify(contains: bytes | None) -> None:
    """Checks that no entry was changed, added or removed since its hour was sealed, and that the
    reports of erasures are those whose digests are in the entries.

    Prints the last digest. Keep it elsewhere, and pass it to the next run: who can change the
    database could also compute new digests. The exit status is 1 if an hour is broken.

    It uses MEDIA_DATABASE_URL, or the database of `media-service dev` in MEDIA_DATA_DIR.
    """
    try:
        with borrowed_database(settings()) as url:
            found = asyncio.run(verified(url, settings(), contains))
    except (MediaError, ConfigError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(found)


async def verified(url: str, config: Config, contains: bytes | None) -> str:
    """The result in one line. Raises ClickException for the first hour that is broken."""
    # The whole service, not for --help.
    from media_service.audit.digests import utc, verify  # noqa: PLC0415
    from media_service.db.database import Database  # noqa: PLC0415
    from media_service.privacy.report import changed_report  # noqa: PLC0415

    async with Database(url, 1) as database:
        found = await verify(database, config.keep_audit, contains)
        changed = await changed_report(database, config.keep_audit)
    if found.broken:
        raise click.ClickException(f"{found.broken}. {found.hours} hours before it are intact.")
    if changed:
        raise click.ClickException(f"The report of the erasure {changed} was changed.")
    if found.last is None:
        return "No hour is sealed yet."
    return (
        f"{found.hours} hours with {found.entries} entries are intact, up to"
        f" {utc(found.last.hour)}: {found.last.digest.hex()}"
    )
