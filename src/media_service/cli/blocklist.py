"""`media-service block`: files that nobody may upload."""

from collections.abc import Mapping

import click

from media_service.cli import output
from media_service.cli.client_command import client_command
from media_service.cli.json_output import json_option, print_json
from media_service_client import BlockedFile, Client

PERCEPTUAL, MEDIA = "pdq:", "media:"


@click.group()
def block() -> None:
    """Blocks files, and allows them again.

    RESOURCE is organization:ID, or service: for the whole installation. FILE is the SHA-256 of a
    file, or pdq:HASH for all images that look nearly like the one with this perceptual hash. In a
    pipe, the output is one line per file: FILE, time and note, separated by tabs.
    """


@block.command(
    "add",
    epilog="""\b
Examples:
  media-service block add organization:acme $(sha256sum bad.jpg | cut -c1-64)
  media-service block add organization:acme media:ID
""",
)
@click.argument("resource")
@click.argument("file", metavar="FILE|media:ID")
@click.option("--note", default="", help="Why, for people.")
@json_option
@client_command
def add(client: Client, resource: str, file: str, note: str, json_: bool) -> None:
    """Blocks a file, or with media:ID, all images that look nearly like this one. Media that exist
    already stay; `block find` finds them."""
    if file.startswith(MEDIA):
        found = client.block_file(resource, media_id=file.removeprefix(MEDIA), note=note)
    else:
        found = client.block_file(resource, **hash_of(file), note=note)
    show(found, as_json=json_)


@block.command("remove", epilog="Example: media-service block remove service: SHA256")
@click.argument("resource")
@click.argument("file")
@client_command
def remove(client: Client, resource: str, file: str) -> None:
    """Allows a file again."""
    client.unblock_file(resource, **hash_of(file))


@block.command("list", epilog="Example: media-service block list organization:acme")
@click.argument("resource")
@json_option
@client_command
def list_blocked(client: Client, resource: str, json_: bool) -> None:
    """Lists the blocked files of a resource."""
    for found in client.blocked_files(resource):
        show(found, as_json=json_)


@block.command("find", epilog="Example: media-service block find organization:acme pdq:HASH")
@click.argument("resource")
@click.argument("file")
@json_option
@client_command
def find(client: Client, resource: str, file: str, json_: bool) -> None:
    """Finds the media of a resource that would be refused if the file is blocked.

    In a pipe, the output is one line per media: its id, "exact" or the similarity, and its name,
    separated by tabs.
    """
    for found in client.blocked_media(resource, **hash_of(file)):
        if json_:
            print_json(found)
            continue
        how = "exact" if found.exact else f"{found.similarity:.3f}"
        name = output.printable(found.media.filename)
        click.echo("\t".join((found.media.media_id, how, name)))


def hash_of(file: str) -> Mapping[str, str]:
    """As an argument of the client."""
    if file.startswith(PERCEPTUAL):
        return {"perceptual_hash": file.removeprefix(PERCEPTUAL)}
    return {"sha256": file}


def show(found: BlockedFile, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    name = found.sha256 or f"{PERCEPTUAL}{found.perceptual_hash}"
    click.echo(
        "\t".join(map(output.printable, (name, found.create_time.ToJsonString(), found.note)))
    )
