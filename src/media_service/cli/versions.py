"""`media-service versions` and `restore`: the history of a media."""

import click
from rich.filesize import decimal

from media_service.cli import output
from media_service.cli.client_command import client_command
from media_service.cli.json_output import json_option, print_json
from media_service_client import Client, Media, MediaVersion


@click.command(
    epilog="""\b
Examples:
  media-service versions ID
  media-service versions ID --delete 1
  media-service versions ID --json | jq .checksums
"""
)
@click.argument("media_id", metavar="ID")
@click.option(
    "--delete", metavar="N", type=click.IntRange(1), help="Delete a version that is not current."
)
@json_option
@client_command
def versions(client: Client, media_id: str, delete: int | None, json_: bool) -> None:
    """Lists the versions of a media, newest first.

    The output is one line per version: number, state, size in bytes, content type and name,
    separated by tabs. "current" stands for the state of the one that is served.
    """
    if delete is not None:
        client.delete_version(media_id, delete)
        return
    for version in client.versions(media_id):
        show(version, as_json=json_)


@click.command(epilog="Example: media-service restore ID 1")
@click.argument("media_id", metavar="ID")
@click.argument("version", metavar="N", type=click.IntRange(1))
@json_option
@client_command
def restore(client: Client, media_id: str, version: int, json_: bool) -> None:
    """Restores a version: adds a copy of it, which is served as soon as it is inspected."""
    show(client.restore_version(media_id, version), as_json=json_)


def show(version: MediaVersion, *, as_json: bool) -> None:
    if as_json:
        print_json(version)
        return
    on_terminal = output.on_terminal()
    size = decimal(version.size_bytes) if on_terminal else str(version.size_bytes)
    state = "current" if version.current else Media.State.Name(version.state)
    fields = [str(version.version), state, size, version.content_type, version.original_filename]
    click.echo(("  " if on_terminal else "\t").join(map(output.printable, fields)))
