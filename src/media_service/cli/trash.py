"""`media-service trash`: deleted media."""

import json

import click

from media_service.cli.client_command import client_command
from media_service.cli.json_output import json_option
from media_service.cli.media import PAGE, print_list
from media_service_client import Client


@click.command(
    epilog="""\b
Examples:
  media-service trash
  media-service trash --all --project vacation-k3x9q2ma | cut -f1 | xargs media-service undelete
  media-service trash --empty
"""
)
@click.option("--project", default="", metavar="PROJECT", help="Only media in this project.")
@click.option("--all", "everything", is_flag=True, help=f"List all, not only the first {PAGE}.")
@click.option(
    "--empty",
    is_flag=True,
    help="Purge the media that you own, or those of the project. This cannot be undone.",
)
@json_option
@client_command
def trash(client: Client, project: str, everything: bool, empty: bool, json_: bool) -> None:
    """Lists deleted media, those first that were deleted last.

    In a pipe, the output is one line per media, as of `ls`. With --empty, it is their ids; a worker
    purges them within minutes.
    """
    if empty:
        for media_id in client.empty_trash(project_id=project):
            click.echo(json.dumps({"mediaId": media_id}) if json_ else media_id)
        return
    filter_ = f'delete_time:* AND project_id="{project}"' if project else "delete_time:*"
    size = 1000 if everything else PAGE + 1
    found = client.list(
        filter=filter_, order_by="delete_time desc", page_size=size, show_deleted=True
    )
    print_list(found, everything=everything, as_json=json_)
