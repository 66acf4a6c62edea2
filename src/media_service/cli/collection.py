"""`media-service collection`: ordered selections of media."""

import click

from media_service.cli import output
from media_service.cli.client_command import client_command
from media_service.cli.each import for_each
from media_service.cli.json_output import json_option, print_json
from media_service.cli.owner_name import OwnerName, owner_in
from media_service_client import Client, Collection


@click.group()
def collection() -> None:
    """Manages collections, such as albums. `grant set collection:ID user:bob viewer` shares one.

    In a pipe, the output is one line per collection: id, owner, title and filter, separated by
    tabs.
    """


@collection.command(
    "create",
    epilog="""\b
Examples:
  media-service collection create Summer
  media-service collection create 'Five stars' --filter 'rating=5'
""",
)
@click.argument("title")
@click.option("--in", "parent_id", default="", metavar="ID", help="The collection around it.")
@click.option("--project", "project_id", default="", metavar="PROJECT", help="Its project.")
@click.option("--filter", "filter_", default="", metavar="EXPRESSION", help="Makes it smart.")
@json_option
@client_command
def create(
    client: Client, title: str, parent_id: str, project_id: str, filter_: str, json_: bool
) -> None:
    """Creates a collection."""
    created = client.create_collection(
        title, parent_id=parent_id, project_id=project_id, filter=filter_
    )
    show(created, as_json=json_)


@collection.command("list")
@click.option("--in", "parent_id", default="", metavar="ID", help="Only those in this one.")
@click.option("--project", "project_id", default="", metavar="PROJECT", help="Only of this one.")
@json_option
@client_command
def list_collections(client: Client, parent_id: str, project_id: str, json_: bool) -> None:
    """Lists the collections on which you have a role, newest first."""
    for found in client.collections(parent_id=parent_id, project_id=project_id):
        show(found, as_json=json_)


@collection.command("ls")
@click.argument("collection_id", metavar="ID")
@json_option
@client_command
def list_media(client: Client, collection_id: str, json_: bool) -> None:
    """Lists the media of a collection, in its order."""
    for media in client.collection_media(collection_id):
        output.print_media(media, as_json=json_)


@collection.command("add")
@click.argument("collection_id", metavar="ID")
@click.argument("media_ids", nargs=-1, required=True, metavar="MEDIA...")
@click.option("--before", default="", metavar="MEDIA", help="In front of this one.")
@json_option
@client_command
def add(
    client: Client, collection_id: str, media_ids: tuple[str, ...], before: str, json_: bool
) -> None:
    """Puts media into a collection, or moves them in it."""
    show(client.add_to_collection(collection_id, media_ids, before=before), as_json=json_)


@collection.command("remove")
@click.argument("collection_id", metavar="ID")
@click.argument("media_ids", nargs=-1, required=True, metavar="MEDIA...")
@json_option
@client_command
def remove(client: Client, collection_id: str, media_ids: tuple[str, ...], json_: bool) -> None:
    """Takes media out of a collection."""
    show(client.remove_from_collection(collection_id, media_ids), as_json=json_)


@collection.command("change", epilog="Example: media-service collection change ID --title Sea")
@click.argument("collection_id", metavar="ID")
@click.option("--title", help="Its title.")
@click.option("--cover", metavar="MEDIA", help="The media that stands for it.")
@click.option("--in", "parent_id", metavar="ID", help="The collection around it; '' for none.")
@click.option("--filter", "filter_", metavar="EXPRESSION", help="Of a smart one.")
@json_option
@client_command
def change(
    client: Client,
    collection_id: str,
    title: str | None,
    cover: str | None,
    parent_id: str | None,
    filter_: str | None,
    json_: bool,
) -> None:
    """Changes a collection."""
    options = {"title": title, "cover_media_id": cover, "parent_id": parent_id, "filter": filter_}
    stated = {name: value for name, value in options.items() if value is not None}
    if not stated:
        raise click.UsageError("name at least one option")
    wanted = Collection(collection_id=collection_id)
    for name, value in stated.items():
        setattr(wanted, name, value)
    show(client.update_collection(wanted, list(stated)), as_json=json_)


@collection.command(
    "transfer", epilog="Example: media-service collection transfer ID --owner user:bob"
)
@click.argument("collection_id", metavar="ID")
@click.option("--owner", type=OwnerName(), metavar="TYPE:ID", help="The new owner, as user:bob.")
@click.option("--project", metavar="PROJECT", help="The project that it will belong to.")
@click.option("--no-project", is_flag=True, help="It will belong to no project.")
@json_option
@client_command
def transfer(
    client: Client,
    collection_id: str,
    owner: tuple[str, str] | None,
    project: str | None,
    no_project: bool,
    json_: bool,
) -> None:
    """Gives a collection, with those in it, to another owner or project. Its media stay."""
    if owner is None and project is None and not no_project:
        raise click.UsageError("name an --owner, a --project or --no-project")
    if project is not None and no_project:
        raise click.UsageError("--project and --no-project exclude each other")
    new_owner = None
    if owner is not None:
        new_owner = owner_in(client.collection(collection_id).owner.organization_id, owner)
    changed = client.transfer_collection(
        collection_id, owner=new_owner, project_id="" if no_project else project
    )
    show(changed, as_json=json_)


@collection.command("delete")
@click.argument("collection_ids", nargs=-1, required=True, metavar="ID...")
@client_command
def delete(client: Client, collection_ids: tuple[str, ...]) -> None:
    """Deletes collections. Their media stay."""
    for_each(collection_ids, client.delete_collection)


def show(found: Collection, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    owner = f"{found.owner.type}:{found.owner.id}"
    fields = (found.collection_id, owner, found.title or "-", found.filter or "-")
    click.echo("\t".join(map(output.printable, fields)))
