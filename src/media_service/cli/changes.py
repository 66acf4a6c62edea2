"""`media-service rm`, `undelete`, `tag`, `visibility` and `transfer`: changes of media."""

from functools import partial

import click

from media_service.cli import output
from media_service.cli.client_command import client_command
from media_service.cli.each import for_each
from media_service.cli.json_output import json_option
from media_service.cli.owner_name import OwnerName, owner_in
from media_service.cli.selected import dry_run_option, filter_option, for_selected
from media_service.media.model import Visibility
from media_service_client import Client, Media, MediaServiceError


def check_selection(wrong: object, why: str) -> None:
    if wrong:
        raise click.UsageError(why)


# How often a change is tried again because another one came first.
ATTEMPTS = 5


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
        for_selected(
            client, filter_, partial(client.batch_delete, validate_only=dry_run), "deleted"
        )
        return
    check_selection(not media_ids or dry_run, "name media, or a --filter")

    def act(media_id: str) -> Media:
        media = client.delete(media_id)
        if purge:
            client.purge(media_id)
        return media

    done = "purged" if purge else "deleted"
    for_each(media_ids, act, partial(output.report, done=done, as_json=json_))


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
  media-service tag ID --remove summer
  media-service tag --filter 'kind=VIDEO rating=5' best
  media-service ls --filter 'tags:"sea"'
"""
)
@click.argument("words", nargs=-1, metavar="[ID] [TAG]...")
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
    """Adds tags to a media, and removes others. Prints the tags that it has then. With --filter, no
    ID is named, and the number of media that have changed is printed."""
    if filter_:
        act = partial(client.batch_tag, add=words, remove=remove, validate_only=dry_run)
        for_selected(client, filter_, act, "tagged")
        return
    check_selection(not words or dry_run, "name a media, or a --filter")
    media_id, *tags = words
    media = client.get(media_id)
    for attempt in range(ATTEMPTS if tags or remove else 0):
        kept = [each for each in media.tags if each not in remove]
        wanted = Media(media_id=media.media_id, etag=media.etag)
        wanted.tags.extend(dict.fromkeys([*kept, *tags]))
        try:
            media = client.update(wanted, ["tags"])
            break
        except MediaServiceError as error:
            if error.reason != "ETAG_MISMATCH" or attempt == ATTEMPTS - 1:
                raise
            media = client.get(media_id)
    if json_:
        output.report(media, "tagged", as_json=True)
        return
    for each in media.tags:
        click.echo(output.printable(each))


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
    value = Media.Visibility.Value(visibility)

    def act(media_id: str) -> Media:
        return client.update(Media(media_id=media_id, visibility=value), ["visibility"])

    for_each(media_ids, act, partial(output.report, done=visibility.lower(), as_json=json_))


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
        act_on_all = partial(client.batch_move, project_id=project or "", validate_only=dry_run)
        for_selected(client, filter_, act_on_all, "transferred")
        return
    check_selection(not media_ids or dry_run, "name media, or a --filter")

    def act(media_id: str) -> Media:
        new_owner = None
        if owner is not None:
            new_owner = owner_in(client.get(media_id).owner.organization_id, owner)
        return client.transfer(media_id, owner=new_owner, project_id="" if no_project else project)

    for_each(media_ids, act, partial(output.report, done="transferred", as_json=json_))


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
