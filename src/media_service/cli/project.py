"""`media-service project`: the containers of media."""

import click

from media_service.cli.client_command import client_command
from media_service.cli.each import for_each
from media_service.cli.json_output import json_option
from media_service.cli.owner_name import OwnerName, owner_in
from media_service.cli.roles import role_name, show
from media_service_client import Client, Owner, Project


@click.group()
def project() -> None:
    """Manages projects, the containers of media.

    In a pipe, the output is one line per project: id, your role, organization and name, separated
    by tabs.
    """


@project.command("create", epilog="Example: media-service project create 'Summer 2026' --org acme")
@click.argument("name")
@click.option("--org", "organization_id", default="", metavar="ID", help="Its organization.")
@click.option("--user", metavar="NAME", help="Its owner, if it is not you.")
@json_option
@client_command
def create_project(
    client: Client, name: str, organization_id: str, user: str | None, json_: bool
) -> None:
    """Creates a project, of which you become OWNER. With --org, name the --user, too."""
    if organization_id and not user:
        raise click.UsageError("--org needs --user: the owner in the organization")
    owner = Owner(type="user", id=user, organization_id=organization_id) if user else None
    show_project(client.create_project(name, owner=owner), as_json=json_)


@project.command("list")
@click.option("--org", "organization_id", default="", metavar="ID", help="Only of this one.")
@json_option
@client_command
def list_projects(client: Client, organization_id: str, json_: bool) -> None:
    """Lists the projects on which you have a role, newest first."""
    for found in client.projects(organization_id=organization_id):
        show_project(found, as_json=json_)


@project.command("show")
@click.argument("project_id", metavar="PROJECT")
@json_option
@client_command
def show_one(client: Client, project_id: str, json_: bool) -> None:
    """Shows a project."""
    show_project(client.project(project_id), as_json=json_)


@project.command("change", epilog="Example: media-service project change ID --name Holidays")
@click.argument("project_id", metavar="ID")
@click.option("--name", required=True, help="Its name for people.")
@json_option
@client_command
def change_project(client: Client, project_id: str, name: str, json_: bool) -> None:
    """Renames a project. Its id stays."""
    show_project(client.update_project(project_id, display_name=name), as_json=json_)


@project.command(epilog="Example: media-service project transfer vacation-k3x9q2ma user:bob")
@click.argument("project_id", metavar="PROJECT")
@click.argument("owner", type=OwnerName())
@json_option
@client_command
def transfer(client: Client, project_id: str, owner: tuple[str, str], json_: bool) -> None:
    """Gives a project to another owner, who is charged for it from now on.

    OWNER is TYPE:ID, such as user:bob or event:gala, in the organization of the project.
    """
    organization_id = client.project(project_id).owner.organization_id
    changed = client.transfer_project(project_id, owner_in(organization_id, owner))
    show_project(changed, as_json=json_)


@project.command("delete")
@click.argument("project_ids", nargs=-1, required=True, metavar="ID...")
@client_command
def delete_projects(client: Client, project_ids: tuple[str, ...]) -> None:
    """Deletes projects that contain no media, and the grants on them."""
    for_each(project_ids, client.delete_project)


def show_project(found: Project, *, as_json: bool) -> None:
    organization = found.owner.organization_id or "-"
    fields = (found.project_id, role_name(found.role), organization, found.display_name)
    show(found, *fields, as_json=as_json)
