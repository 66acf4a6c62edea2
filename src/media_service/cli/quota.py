"""`media-service quota`: what accounts may store, and store."""

from collections.abc import Sequence

import click

from media_service.cli.client_command import client_command
from media_service.cli.json_output import json_option, print_json
from media_service.cli.size import size
from media_service_client import Client, Media, Quota, QuotaLimit, QuotaMeasure, UsageAmount


@click.group()
def quota() -> None:
    """Shows and sets what accounts may store.

    ACCOUNT is project:ID, organization:ID or owner:ORGANIZATION/TYPE:ID, such as owner:/user:ann.
    """


@quota.command("show", epilog="Example: media-service quota show project:vacation-k3x9q2ma")
@click.argument("account")
@json_option
@client_command
def show_quota(client: Client, account: str, json_: bool) -> None:
    """Shows what an account may use, and uses.

    Each line has the measure, what is used, what uploads reserve, the limit, the soft limit, and
    since when the soft limit is exceeded, separated by tabs. "-" is no limit, or not exceeded.
    """
    show(client.quota(account), json_=json_)


@quota.command(
    "set",
    epilog="""\b
Examples:
  media-service quota set project:vacation-k3x9q2ma --bytes 10GiB --soft-bytes 8GiB
  media-service quota set owner:/user:ann --media 1000 --file-bytes 50MiB --rendition-bytes 5GiB
  media-service quota set owner:/user:ann   (removes the quota)
""",
)
@click.argument("account")
@click.option("--bytes", "bytes_", callback=size, help="Of all originals, such as 10GiB.")
@click.option("--soft-bytes", callback=size, help="Only reported when it is exceeded.")
@click.option("--media", type=click.IntRange(0), help="The number of media.")
@click.option("--soft-media", type=click.IntRange(0), help="Only reported when it is exceeded.")
@click.option("--file-bytes", callback=size, help="Of each original.")
@click.option("--rendition-bytes", callback=size, help="Of all renditions and streams.")
@click.option("--soft-rendition-bytes", callback=size, help="Only reported when it is exceeded.")
@click.option("--cache-bytes", callback=size, help="Of all cached renders.")
@click.option("--soft-cache-bytes", callback=size, help="Only reported when it is exceeded.")
@click.option("--processing-seconds", type=click.IntRange(0), help="Of jobs, in a month (UTC).")
@click.option(
    "--soft-processing-seconds", type=click.IntRange(0), help="Only reported when it is exceeded."
)
@json_option
@client_command
def set_quota(
    client: Client,
    account: str,
    bytes_: int | None,
    soft_bytes: int | None,
    media: int | None,
    soft_media: int | None,
    file_bytes: int | None,
    rendition_bytes: int | None,
    soft_rendition_bytes: int | None,
    cache_bytes: int | None,
    soft_cache_bytes: int | None,
    processing_seconds: int | None,
    soft_processing_seconds: int | None,
    json_: bool,
) -> None:
    """Sets the limits of an account, in place of the earlier ones.

    Without options, removes them.
    """
    wanted = {
        QuotaMeasure.BYTES: (bytes_, soft_bytes),
        QuotaMeasure.MEDIA: (media, soft_media),
        QuotaMeasure.FILE_BYTES: (file_bytes, None),
        QuotaMeasure.RENDITION_BYTES: (rendition_bytes, soft_rendition_bytes),
        QuotaMeasure.CACHE_BYTES: (cache_bytes, soft_cache_bytes),
        QuotaMeasure.PROCESSING_SECONDS: (processing_seconds, soft_processing_seconds),
    }
    limits = [
        QuotaLimit(measure=measure, limit=hard, soft_limit=soft)
        for measure, (hard, soft) in wanted.items()
        if (hard, soft) != (None, None)
    ]
    show(client.set_quota(account, limits), json_=json_)


@quota.command("recalculate", epilog="Example: media-service quota recalculate organization:acme")
@click.argument("account")
@json_option
@client_command
def recalculate(client: Client, account: str, json_: bool) -> None:
    """Counts what an account uses again, and says where its ledger was wrong."""
    found = client.recalculate_quota(account)
    if json_:
        print_json(found)
        return
    for drift in found.drifts:
        click.echo(f"{QuotaMeasure.Name.Name(drift.measure)}: {drift.explanation}", err=True)
    show(found.quota, json_=False)


@quota.command("usage", epilog="Example: media-service quota usage organization:acme --days 7")
@click.argument("account")
@click.option("--days", type=click.IntRange(1, 366), default=30, show_default=True)
@json_option
@client_command
def usage(client: Client, account: str, days: int, json_: bool) -> None:
    """Counts what an account stores, in the trash, by kind, project and day.

    Each line has what is counted, the media, the bytes of their originals and those of their
    renditions, separated by tabs.
    """
    found = client.usage(account, days=days)
    if json_:
        print_json(found)
        return
    line("total", found.total)
    line("deleted", found.deleted)
    for of_kind in found.kinds:
        line(f"kind {Media.Kind.Name(of_kind.kind)}", of_kind.amount)
    for of_project in found.projects:
        line(f"project {of_project.project_id or '-'}", of_project.amount)
    for of_day in found.days:
        line(of_day.date, of_day.amount)


def line(name: str, amount: UsageAmount) -> None:
    row((name, amount.media, amount.bytes, amount.rendition_bytes))


def show(found: Quota, *, json_: bool) -> None:
    if json_:
        print_json(found)
        return
    for entry in found.entries:
        limit = entry.limit
        hard = limit.limit if limit.HasField("limit") else "-"
        soft = limit.soft_limit if limit.HasField("soft_limit") else "-"
        exceeded = (
            entry.soft_exceed_time.ToJsonString() if entry.HasField("soft_exceed_time") else "-"
        )
        measure = QuotaMeasure.Name.Name(limit.measure)
        row((measure, entry.used, entry.reserved, hard, soft, exceeded))


def row(values: Sequence[object]) -> None:
    click.echo("\t".join(map(str, values)))
