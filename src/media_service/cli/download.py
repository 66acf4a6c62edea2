"""`media-service download`: fetches a file."""

import sys
from pathlib import Path

import click

from media_service.cli import output
from media_service.cli.connection import client_command
from media_service.client import Client, Media


@click.command(
    epilog="""\b
Examples:
  media-service download 0199c7a5-6c1e-7cc3-98ab-4a61f21a3a0b
  media-service download ID -o copies/
  media-service download ID -o - | ffplay -
"""
)
@click.argument("media_id", metavar="ID")
@click.option(
    "-o",
    "--output",
    "target",
    metavar="PATH",
    help='A file or a directory; "-" is standard output. Default: its own name, here.',
)
@client_command
def download(client: Client, media_id: str, target: str | None) -> None:
    """Fetches the original of a media.

    The file appears only once all its bytes are there and their checksum is right. Breaks of the
    connection are survived.
    """
    if target == "-":
        with output.progress(media_id) as advance:
            client.download(media_id, sys.stdout.buffer, progress=advance)
        return
    path = Path(target) if target else Path()
    if target is None or path.is_dir():
        path /= own_name(client.get(media_id))
        if path.exists():
            raise click.ClickException(f"{path} is there already; name another file with -o")
    with output.progress(path.name) as advance:
        media = client.download(media_id, path, progress=advance)
    if output.on_terminal():
        click.echo(f"fetched {output.printable(str(path))}")
    else:
        click.echo(output.line(media))


def own_name(media: Media) -> str:
    """A name to save under. The service's word is not taken for it: no paths, no hidden files."""
    name = output.printable(media.filename).replace("\\", "/").rpartition("/")[2].lstrip(".")
    return name or media.media_id
