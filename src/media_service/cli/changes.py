"""`media-service rm`, `undelete`, `tag`, `visibility` and `transfer`: changes of media."""

import re
from functools import partial
from itertools import takewhile

import click

from media_service.cli import output
from media_service.cli.client_command import client_command
from media_service.cli.each import for_each
from media_service.cli.json_output import json_option
from media_service.cli.owner_name import OwnerName, owner_in
from media_service.cli.selected import (
    change_ids,
    check_selection,
    dry_run_option,
    filter_option,
    for_ids,
    for_selected,
)
from media_service.media.model import Visibility
from media_service_client import Client, Media

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@click.command(
    epilog="""\b
Examples:
  media-service rm ID
  media-service rm --purge ID ID
  media-service rm --filter 'rating=1' --dry-run
"""
)
@click.argument("media_ids", nargs=-1, metavar="[ID]...")
@filter_option
@dry_run_option
@click.option(
    "--purge", is_flag=True, help="Delete the media and their bytes now. This cannot be undone."
)
@json_option
@client_command
def rm(
    client: Client,
    media_ids: tuple[str, ...],
    filter_: str,
    dry_run: bool,
    purge: bool,
    json_: bool,
) -> None:
    """Deletes media. Without --purge, `undelete` restores them for a while."""
    if filter_:
        check_selection(media_ids or purge, "--filter excludes IDs and --purge")
        for_selected(client, filter_, client.batch_delete, "deleted", dry_run=dry_run)
        return
    check_selection(not media_ids or dry_run, "name media, or a --filter")

    def show(media: Media) -> None:
        if purge:
            client.purge(media.media_id)
        output.report(media, "purged" if purge else "deleted", as_json=json_)

    for_ids(client, media_ids, client.batch_delete, show)


@click.command(epilog="Example: media-service undelete ID")
@click.argument("media_ids", nargs=-1, required=True, metavar="ID...")
@json_option
@client_command
def undelete(client: Client, media_ids: tuple[str, ...], json_: bool) -> None:
    """Restores deleted media, which `trash` lists."""
    for_each(media_ids, client.undelete, partial(output.report, done="restored", as_json=json_))


@click.command(
    epilog="""\b
Examples:
  media-service tag ID sea summer
  media-service tag ID ID --remove summer
  media-service tag --filter 'kind=VIDEO rating=5' best
  media-service ls --filter 'tags:"sea"'
"""
)
@click.argument("words", nargs=-1, metavar="[ID]... [TAG]...")
@click.option("--remove", multiple=True, metavar="TAG", help="Remove a tag; repeat for more.")
@filter_option
@dry_run_option
@json_option
@client_command
def tag(
    client: Client,
    words: tuple[str, ...],
    remove: tuple[str, ...],
    filter_: str,
    dry_run: bool,
    json_: bool,
) -> None:
    """Adds tags to media, and removes others. Prints the tags that a single media has then, or a
    line for each of several. With --filter, no ID is named, and the number of media that have
    changed is printed."""
    if filter_:
        check_selection(any(map(UUID.fullmatch, words)), "--filter excludes IDs")
        act = partial(client.batch_tag, add=words, remove=remove)
        for_selected(client, filter_, act, "tagged", dry_run=dry_run)
        return
    media_ids = [*words[:1], *takewhile(UUID.fullmatch, words[1:])]
    tags = words[len(media_ids) :]
    check_selection(not media_ids or dry_run, "name media, or a --filter")

    def show(media: Media) -> None:
        if json_ or len(media_ids) > 1:
            output.report(media, "tagged", as_json=json_)
            return
        for each in media.tags:
            click.echo(output.printable(each))

    if tags or remove:
        change = partial(client.batch_tag, add=tags, remove=remove)
        for_ids(client, media_ids, change, show)
    else:
        for_each(media_ids, client.get, show)


@click.command(
    epilog="""\b
Examples:
  media-service visibility public ID
  media-service visibility private ID ID
"""
)
@click.argument(
    "visibility", type=click.Choice([each.value for each in Visibility], case_sensitive=False)
)
@click.argument("media_ids", nargs=-1, required=True, metavar="ID...")
@json_option
@client_command
def visibility(client: Client, visibility: str, media_ids: tuple[str, ...], json_: bool) -> None:
    """Sets what everyone with its URL can read of a media.

    PRIVATE: nothing. PUBLIC: its renditions. PUBLIC_ORIGINAL: also the original. `show` prints the
    public URLs, which exist within moments.
    """
    media = Media(visibility=Media.Visibility.Value(visibility))
    act = partial(client.batch_update, media, ["visibility"])
    show = partial(output.report, done=visibility.lower(), as_json=json_)
    for_ids(client, media_ids, lambda some: act(media_ids=some), show)


@click.command(
    epilog="""\b
Examples:
  media-service transfer ID ID --project vacation-k3x9q2ma
  media-service transfer ID --no-project --owner user:bob
  media-service transfer --filter 'tags:"gala"' --project gala-k3x9q2ma
"""
)
@click.argument("media_ids", nargs=-1, metavar="[ID]...")
@filter_option
@dry_run_option
@click.option("--owner", type=OwnerName(), metavar="TYPE:ID", help="The new owner, as user:bob.")
@click.option("--project", metavar="PROJECT", help="The project that will contain them.")
@click.option("--no-project", is_flag=True, help="No project will contain them.")
@json_option
@client_command
def transfer(
    client: Client,
    media_ids: tuple[str, ...],
    filter_: str,
    dry_run: bool,
    owner: tuple[str, str] | None,
    project: str | None,
    no_project: bool,
    json_: bool,
) -> None:
    """Gives media to another owner, to another project, or both, in the same organization."""
    if owner is None and project is None and not no_project:
        raise click.UsageError("name an --owner, a --project or --no-project")
    if project is not None and no_project:
        raise click.UsageError("--project and --no-project exclude each other")
    if filter_:
        check_selection(media_ids or owner, "--filter excludes IDs and --owner")
        act_on_all = partial(client.batch_move, project_id=project or "")
        for_selected(client, filter_, act_on_all, "transferred", dry_run=dry_run)
        return
    check_selection(not media_ids or dry_run, "name media, or a --filter")
    show = partial(output.report, done="transferred", as_json=json_)
    move = partial(client.batch_move, project_id="" if no_project else project)
    if owner is None:
        for_ids(client, media_ids, move, show)
        return
    # A media stays in its organization, and so does the name of its new owner.
    organizations: dict[str, list[str]] = {}
    for found in client.batch_get(media_ids):
        of_media = found.media.owner.organization_id
        organizations.setdefault(of_media, []).append(found.media_id)
    done = [
        change_ids(client, some, partial(move, owner=owner_in(organization, owner)), show)
        for organization, some in organizations.items()
    ]
    if not all(done):
        raise SystemExit(1)


@click.command(epilog="Example: media-service copy ID ID --project vacation-k3x9q2ma")
@click.argument("media_ids", nargs=-1, required=True, metavar="ID...")
@click.option("--owner", type=OwnerName(), metavar="TYPE:ID", help="Who will own the copies.")
@click.option("--project", metavar="PROJECT", help="The project that will contain them.")
@click.option("--no-project", is_flag=True, help="No project will contain them.")
@json_option
@client_command
def copy(
    client: Client,
    media_ids: tuple[str, ...],
    owner: tuple[str, str] | None,
    project: str | None,
    no_project: bool,
    json_: bool,
) -> None:
    """Copies media, and prints the copies. You own them unless --owner says otherwise, and they are
    in the same project unless another one is named."""
    if project is not None and no_project:
        raise click.UsageError("--project and --no-project exclude each other")

    def act(media_id: str) -> Media:
        new_owner = None
        if owner is not None:
            new_owner = owner_in(client.get(media_id).owner.organization_id, owner)
        return client.copy(media_id, owner=new_owner, project_id="" if no_project else project)

    for_each(media_ids, act, partial(output.report, done="copied", as_json=json_))
