"""`media-service duplicates` and `merge`: media that exist twice."""

from collections.abc import Iterable
from itertools import islice

import click
from mediaservice.v1.duplicate_service_pb2 import (
    DecideDuplicatesRequest,
    DuplicateGroup,
    MergeMediaResponse,
    SimilarMedia,
)

from media_service.cli import output
from media_service.cli.client_command import client_command
from media_service.cli.json_output import json_option, print_json
from media_service_client import Client

GROUPS = 20


@click.command(
    epilog="""\b
Examples:
  media-service duplicates
  media-service duplicates ID
  media-service duplicates --not ID OTHER
  media-service duplicates --keep ID OTHER
"""
)
@click.argument("media_ids", nargs=-1, metavar="[ID [OTHER...]]")
@click.option("--not", "different", is_flag=True, help="Remember that ID is no duplicate of OTHER.")
@click.option("--keep", is_flag=True, help="Remember that ID is the one to keep.")
@click.option("--project", "project_id", default="", metavar="ID", help="Only of this project.")
@click.option("--all", "everything", is_flag=True, help=f"List all, not only the first {GROUPS}.")
@json_option
@client_command
def duplicates(
    client: Client,
    media_ids: tuple[str, ...],
    different: bool,
    keep: bool,
    project_id: str,
    everything: bool,
    json_: bool,
) -> None:
    """Lists groups of duplicates, or the duplicates of the media ID.

    In a pipe, the output is one line per duplicate: the id of the media, that of the duplicate,
    their similarity or "exact", and the name of the duplicate, separated by tabs.
    """
    if different or keep:
        decide(client, media_ids, different=different, keep=keep)
    elif len(media_ids) > 1:
        raise click.UsageError("Name one media, or add --not or --keep.")
    elif media_ids:
        print_similar(media_ids[0], client.similar(media_ids[0], max_media=100), as_json=json_)
    else:
        found = client.duplicates(project_id=project_id)
        for group in found if everything else islice(found, GROUPS):
            print_group(group, as_json=json_)
        if not everything and next(found, None):
            click.echo(f"The first {GROUPS}; --all lists the rest.", err=True)


def decide(client: Client, media_ids: tuple[str, ...], *, different: bool, keep: bool) -> None:
    if different and keep:
        raise click.UsageError("Use either --not or --keep.")
    if len(media_ids) < 2:
        raise click.UsageError("Name the media, and at least one other.")
    decision = DecideDuplicatesRequest.DIFFERENT if different else DecideDuplicatesRequest.KEEP
    client.decide_duplicates(media_ids[0], media_ids[1:], decision)


def print_group(group: DuplicateGroup, *, as_json: bool) -> None:
    if as_json:
        print_json(group)
    else:
        print_similar(group.media.media_id, group.others)


def print_similar(media_id: str, found: Iterable[SimilarMedia], *, as_json: bool = False) -> None:
    for each in found:
        if as_json:
            print_json(each)
            continue
        how = "exact" if each.exact else f"{each.similarity:.3f}"
        name = output.printable(each.media.filename)
        click.echo("\t".join((media_id, each.media.media_id, how, name)))


@click.command(
    epilog="""\b
Examples:
  media-service merge --dry-run ID ID
  media-service merge ID ID --keep ID
"""
)
@click.argument("media_ids", nargs=-1, required=True, metavar="ID...")
@click.option("--keep", default="", metavar="ID", help="The one that is left. Default: the best.")
@click.option("--dry-run", is_flag=True, help="Change nothing, and show which one would be left.")
@json_option
@client_command
def merge(
    client: Client, media_ids: tuple[str, ...], keep: str, dry_run: bool, json_: bool
) -> None:
    """Merges media into one of them. It gets the tags, labels, metadata, grants and collections of
    the others, which are deleted; `undelete` restores them for a while."""
    merged = client.merge(media_ids, keep_media_id=keep, validate_only=dry_run)
    print_merged(merged, as_json=json_)


def print_merged(merged: MergeMediaResponse, *, as_json: bool) -> None:
    if as_json:
        print_json(merged)
        return
    click.echo(f"{merged.media.media_id}\tkept")
    for media_id in merged.deleted_media_ids:
        click.echo(f"{media_id}\tdeleted")
