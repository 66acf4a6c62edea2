"""`media-service download`: downloads a file."""

import sys
from glob import escape
from mimetypes import guess_extension
from pathlib import Path

import click
from mediaservice.v1.media_pb2 import Rendition
from rich.filesize import decimal

from media_service.cli import output
from media_service.cli.client_command import INTERRUPTED, client_command
from media_service.cli.json_output import json_of, json_option, print_json
from media_service_client import Client, Media


@click.command(
    epilog="""\b
Examples:
  media-service download 0199c7a5-6c1e-7cc3-98ab-4a61f21a3a0b
  media-service download ID -o copies/
  media-service download ID -o - | ffplay -
  media-service download ID --rendition small -o small.webp
  media-service download ID --version 1 -o before.jpg
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
@click.option(
    "--version", type=click.IntRange(0), default=0, metavar="N", help="Download an earlier version."
)
@json_option
@client_command
def download(
    client: Client, media_id: str, target: str | None, rendition: str, version: int, json_: bool
) -> None:
    """Downloads the original of a media, or a rendition.

    The file appears when all bytes have arrived and their checksum is correct. A download resumes
    after lost connections. If it is stopped, the same command continues it from a `.part` file.

    In a pipe, the output is one line: media id, and size in bytes, content type and file name of
    what was downloaded, separated by tabs.
    """
    if target == "-":
        with output.progress(media_id) as advance:
            client.download(
                media_id, sys.stdout.buffer, rendition=rendition, version=version, progress=advance
            )
        return
    path = Path(target) if target else Path()
    if target is None or path.is_dir():
        path /= own_name(client.get(media_id), rendition)
        if path.exists():
            raise click.ClickException(f"{path} already exists; select another file with -o")
    try:
        with output.progress(path.name) as advance:
            media = client.download(
                media_id,
                path,
                rendition=rendition,
                version=version,
                resume=True,
                progress=advance,
            )
    except KeyboardInterrupt:
        kept = any(path.parent.glob(f"{escape(path.name[:60])}.*.part"))
        advice = "; the received bytes are kept. To continue, repeat the command."
        output.complain(f"stopped{advice if kept else ''}")
        raise SystemExit(INTERRUPTED) from None
    found = content_of(media, rendition)
    if json_:
        print_json({"mediaId": media_id, "path": str(path), **json_of(found)})
    elif output.on_terminal():
        click.echo(f"fetched {output.printable(str(path))}  {decimal(found.size_bytes)}")
    else:
        fields = (media_id, found.size_bytes, found.content_type, output.printable(path.name))
        click.echo("\t".join(map(str, fields)))


def content_of(media: Media, rendition: str) -> Media | Rendition:
    """What was downloaded of a media."""
    return next((each for each in media.renditions if each.name == rendition), media)


def own_name(media: Media, rendition: str = "") -> str:
    """A safe file name from the name of the media: no paths, no hidden files."""
    name = output.printable(media.filename).replace("\\", "/").rpartition("/")[2].lstrip(".")
    if not rendition:
        return name or media.media_id
    found = content_of(media, rendition)
    extension = None if found is media else guess_extension(found.content_type, strict=False)
    return f"{Path(name).stem or media.media_id}-{rendition}{extension or ''}"
