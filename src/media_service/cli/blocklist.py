"""`media-service block`: files that nobody may upload."""

import click

from media_service.cli import output
from media_service.cli.client_command import client_command
from media_service.cli.json_output import json_option, print_json
from media_service_client import BlockedFile, Client


@click.group()
def block() -> None:
    """Blocks files by their SHA-256, and allows them again.

    RESOURCE is organization:ID, or service: for the whole installation. In a pipe, the output is
    one line per file: hash, time and note, separated by tabs.
    """


@block.command(
    "add",
    epilog="Example: media-service block add organization:acme $(sha256sum bad.jpg | cut -c1-64)",
)
@click.argument("resource")
@click.argument("sha256")
@click.option("--note", default="", help="Why, for people.")
@json_option
@client_command
def add(client: Client, resource: str, sha256: str, note: str, json_: bool) -> None:
    """Blocks a file. Media that have it already stay."""
    show(client.block_file(resource, sha256, note=note), as_json=json_)


@block.command("remove", epilog="Example: media-service block remove service: SHA256")
@click.argument("resource")
@click.argument("sha256")
@client_command
def remove(client: Client, resource: str, sha256: str) -> None:
    """Allows a file again."""
    client.unblock_file(resource, sha256)


@block.command("list", epilog="Example: media-service block list organization:acme")
@click.argument("resource")
@json_option
@client_command
def list_blocked(client: Client, resource: str, json_: bool) -> None:
    """Lists the blocked files of a resource."""
    for found in client.blocked_files(resource):
        show(found, as_json=json_)


def show(found: BlockedFile, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        fields = (found.sha256, found.create_time.ToJsonString(), found.note)
        click.echo("\t".join(map(output.printable, fields)))
