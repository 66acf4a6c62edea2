"""`media-service download`: downloads a file."""

import sys
from mimetypes import guess_extension
from pathlib import Path

import click

from media_service.cli import output
from media_service.cli.client_command import client_command
from media_service_client import Client, Media


@click.command(
    epilog="""\b
Examples:
  media-service download 0199c7a5-6c1e-7cc3-98ab-4a61f21a3a0b
  media-service download ID -o copies/
  media-service download ID -o - | ffplay -
  media-service download ID --rendition small -o small.webp
"""
)
@click.argument("media_id", metavar="ID")
@click.option(
    "-o",
    "--output",
    "target",
    metavar="PATH",
    help='A file or a directory; "-" is standard output. Default: the name of the media.',
)
@click.option(
    "--rendition", default="", metavar="NAME", help="Download a rendition instead of the original."
)
@client_command
def download(client: Client, media_id: str, target: str | None, rendition: str) -> None:
    """Downloads the original of a media, or a rendition.

    The file appears when all bytes have arrived and their checksum is correct. A download resumes
    after lost connections.
    """
    if target == "-":
        with output.progress(media_id) as advance:
            client.download(media_id, sys.stdout.buffer, rendition=rendition, progress=advance)
        return
    path = Path(target) if target else Path()
    if target is None or path.is_dir():
        path /= own_name(client.get(media_id), rendition)
        if path.exists():
            raise click.ClickException(f"{path} already exists; select another file with -o")
    with output.progress(path.name) as advance:
        media = client.download(media_id, path, rendition=rendition, progress=advance)
    if output.on_terminal():
        click.echo(f"fetched {output.printable(str(path))}")
    else:
        click.echo(output.line(media))


def own_name(media: Media, rendition: str = "") -> str:
    """A safe file name from the name of the media: no paths, no hidden files."""
    name = output.printable(media.filename).replace("\\", "/").rpartition("/")[2].lstrip(".")
    if not rendition:
        return name or media.media_id
    found = next((r for r in media.renditions if r.name == rendition), None)
    extension = guess_extension(found.content_type, strict=False) if found else None
    return f"{Path(name).stem or media.media_id}-{rendition}{extension or ''}"
