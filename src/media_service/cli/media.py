"""`media-service ls`, `show` and `rm`: the catalog."""

import json
from itertools import islice
from typing import Any

import click
from google.protobuf.json_format import MessageToDict

from media_service.cli import output
from media_service.cli.client_command import client_command
from media_service_client import Client, Media, MediaServiceError

PAGE = 50


def as_json(media: Media, indent: int | None = None) -> str:
    return json.dumps(MessageToDict(media), indent=indent, ensure_ascii=False)


@click.command(
    epilog="""\b
Examples:
  media-service ls
  media-service ls --filter 'content_type="image/*" AND size_bytes>1000000'
  media-service ls --order-by 'size_bytes desc' --all
  media-service ls --all | cut -f1 | xargs media-service rm
"""
)
@click.option(
    "--filter",
    "filter_",
    default="",
    metavar="EXPRESSION",
    help="List only media that match the filter.",
)
@click.option("--order-by", default="", metavar="FIELDS", help='Such as "size_bytes desc".')
@click.option("--all", "everything", is_flag=True, help=f"List all, not only the first {PAGE}.")
@click.option("--json", "json_", is_flag=True, help="Print one JSON object per line.")
@client_command
def ls(client: Client, filter_: str, order_by: str, everything: bool, json_: bool) -> None:
    """Lists your media, newest first.

    In a pipe, the output is one line per media: id, size in bytes, content type and name,
    separated by tabs.
    """
    size = 1000 if everything else PAGE + 1
    found = client.list(filter=filter_, order_by=order_by, page_size=size)
    shown = found if everything else islice(found, PAGE)
    if output.on_terminal() and not json_:
        output.table(list(shown))
    else:
        for media in shown:
            click.echo(as_json(media) if json_ else output.line(media))
    if not everything and next(found, None):
        click.echo(f"The first {PAGE}; --all lists the rest.", err=True)


@click.command(
    epilog="""\b
Examples:
  media-service show ID
  media-service show ID --json | jq .image.exif
"""
)
@click.argument("media_id", metavar="ID")
@click.option("--json", "json_", is_flag=True, help="Print one JSON object.")
@client_command
def show(client: Client, media_id: str, json_: bool) -> None:
    """Shows all properties of one media, including EXIF tags and locations."""
    media = client.get(media_id, full=True)
    if json_:
        click.echo(as_json(media, indent=2))
        return
    rows = list(_flat(MessageToDict(media, preserving_proto_field_name=True)))
    width = max(len(name) for name, _ in rows) if output.on_terminal() else 0
    for name, value in rows:
        space = " " * (width - len(name) + 2) if width else "\t"
        click.echo(f"{name}{space}{output.printable(str(value))}")


def _flat(value: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [row for key, part in value.items() for row in _flat(part, f"{prefix}.{key}")]
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    return [(prefix.removeprefix("."), value)]


@click.command(
    epilog="""\b
Examples:
  media-service rm ID
  media-service rm --purge ID ID
"""
)
@click.argument("media_ids", nargs=-1, required=True, metavar="ID...")
@click.option(
    "--purge", is_flag=True, help="Delete the media and their bytes now. This cannot be undone."
)
@client_command
def rm(client: Client, media_ids: tuple[str, ...], purge: bool) -> None:
    """Deletes media. Without --purge, they can be restored for a while."""
    failed = False
    for media_id in media_ids:
        try:
            media = client.delete(media_id)
            if purge:
                client.purge(media_id)
        except MediaServiceError as error:
            output.complain(f"{media_id}: {error}")
            failed = True
        else:
            output.report(media, "purged" if purge else "deleted")
    if failed:
        raise SystemExit(1)
