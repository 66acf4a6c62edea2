"""`media-service archive`: puts several media into a ZIP archive."""

import click
from rich.filesize import decimal

from media_service.cli import output
from media_service.cli.client_command import client_command
from media_service.cli.json_output import json_of, json_option, print_json
from media_service_client import Client


@click.command(
    epilog="""\b
Examples:
  media-service archive ID ID --name summer.zip
  media-service archive --collection ID
  media-service archive --filter 'tags:"sea"' --rendition large
  curl -C - -OJ "$(media-service archive --project gala | cut -f 3)"
"""
)
@click.argument("media_ids", nargs=-1, metavar="[ID]...")
@click.option(
    "--filter", "filter_", default="", metavar="FILTER", help="Select media as `ls` does."
)
@click.option("--project", default="", metavar="ID", help="Select the media of a project.")
@click.option(
    "--collection",
    default="",
    metavar="ID",
    help="Select the media of a collection; those in it are folders.",
)
@click.option(
    "--rendition", default="", metavar="NAME", help="Take a rendition instead of the originals."
)
@click.option("--name", default="", metavar="NAME", help="The file name. Default: media.zip.")
@json_option
@client_command
def archive(
    client: Client,
    media_ids: tuple[str, ...],
    filter_: str,
    project: str,
    collection: str,
    rendition: str,
    name: str,
    json_: bool,
) -> None:
    """Prints a URL that downloads several media as one ZIP file.

    The URL needs no token and works for a day. A download continues at any byte.

    In a pipe, the output is one line: archive id, size in bytes and URL, separated by tabs.
    """
    created = client.create_archive(
        media_ids,
        filter=filter_,
        project_id=project,
        collection_id=collection,
        rendition=rendition,
        filename=name,
    )
    if json_:
        print_json(json_of(created))
    elif output.on_terminal():
        skipped = f", {created.skipped_count} left out" if created.skipped_count else ""
        size = f"{created.file_count} files, {decimal(created.size_bytes)}{skipped}"
        click.echo(f"{output.printable(created.filename)}  {size}\n{created.url}")
    else:
        click.echo(f"{created.archive_id}\t{created.size_bytes}\t{created.url}")
