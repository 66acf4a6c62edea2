"""`media-service ls` and `show`: the catalog."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

import click
from google.protobuf.json_format import MessageToDict
from rich.filesize import decimal

from media_service.cli import output
from media_service.cli.client_command import client_command
from media_service.cli.json_output import json_option, print_json
from media_service_client import Client, Media

PAGE = 50


@click.command(
    epilog="""\b
Examples:
  media-service ls
  media-service ls --filter 'content_type="image/*" AND size_bytes>1000000'
  media-service ls --order-by 'size_bytes desc' --all
  media-service ls --filter 'NOT capture_time:*' --total
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
@click.option("--deleted", is_flag=True, help="Also list deleted media.")
@click.option("--total", is_flag=True, help="Say how many there are, instead of listing them.")
@json_option
@client_command
def ls(
    client: Client,
    filter_: str,
    order_by: str,
    everything: bool,
    deleted: bool,
    total: bool,
    json_: bool,
) -> None:
    """Lists your media, newest first.

    In a pipe, the output is one line per media: id, size in bytes, content type and name,
    separated by tabs.
    """
    if total:
        number, approximate = client.count(filter=filter_, show_deleted=deleted)
        if json_:
            click.echo(json.dumps({"totalCount": number, "totalApproximate": approximate}))
        else:
            click.echo(number)
            if approximate and output.on_terminal():
                click.echo("This is an estimate.", err=True)
        return
    size = 1000 if everything else PAGE + 1
    found = client.list(filter=filter_, order_by=order_by, page_size=size, show_deleted=deleted)
    print_list(found, everything=everything, as_json=json_)


def print_list(found: Iterator[Media], *, everything: bool, as_json: bool) -> None:
    """Prints all media, or the first `PAGE`, and says whether there are more."""
    shown = found if everything else islice(found, PAGE)
    if output.on_terminal() and not as_json:
        output.table(list(shown))
    else:
        for media in shown:
            output.print_media(media, as_json=as_json)
    if not everything and next(found, None):
        click.echo(f"The first {PAGE}; --all lists the rest.", err=True)


@click.command(
    epilog="""\b
Examples:
  media-service show ID
  media-service show ID --json | jq .renditions
"""
)
@click.argument("media_id", metavar="ID")
@json_option
@client_command
def show(client: Client, media_id: str, json_: bool) -> None:
    """Shows all properties of one media, including EXIF tags and locations."""
    media = client.get(media_id, full=True)
    if json_:
        print_json(media, indent=2)
        return
    rows = list(rows_of(MessageToDict(media, preserving_proto_field_name=True)))
    width = max(len(name) for name, _ in rows) if output.on_terminal() else 0
    for name, value in rows:
        text = readable(name, value) if width else value
        space = " " * (width - len(name) + 2) if width else "\t"
        click.echo(f"{name}{space}{output.printable(text)}")


def rows_of(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """The names and values of a message, as text. An element of a list has its own name, or its
    number, in its place."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from rows_of(part, f"{name}.{key}")
    elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
        for number, each in enumerate(value, 1):
            rest = {key: part for key, part in each.items() if key != "name"}
            yield from rows_of(rest, f"{name}.{each.get('name', number)}")
    elif isinstance(value, list):
        yield name[1:], ", ".join(map(text_of, value))
    else:
        yield name[1:], text_of(value)


def text_of(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def readable(name: str, text: str) -> str:
    """Adds a size in units that people read."""
    is_size = name.endswith("size_bytes") and not name.startswith("labels.")
    return f"{text}  ({decimal(int(text))})" if is_size else text
