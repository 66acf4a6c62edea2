"""`media-service group`: groups of users of an organization."""

import click

from media_service.cli.client_command import client_command
from media_service.cli.each import for_each
from media_service.cli.json_output import json_option
from media_service.cli.roles import show
from media_service_client import Client, Group


@click.group()
def group() -> None:
    """Manages groups of users of an organization.

    In a pipe, the output is one line per group: id, organization and name, separated by tabs.
    """


@group.command("create", epilog="Example: media-service group create acme Editors")
@click.argument("organization_id", metavar="ORG")
@click.argument("name")
@json_option
@client_command
def create_group(client: Client, organization_id: str, name: str, json_: bool) -> None:
    """Creates a group."""
    show_group(client.create_group(organization_id, name), as_json=json_)


@group.command("list")
@click.argument("organization_id", metavar="ORG")
@json_option
@client_command
def list_groups(client: Client, organization_id: str, json_: bool) -> None:
    """Lists the groups of an organization, newest first."""
    for found in client.groups(organization_id):
        show_group(found, as_json=json_)


@group.command("delete")
@click.argument("group_ids", nargs=-1, required=True, metavar="GROUP...")
@client_command
def delete_groups(client: Client, group_ids: tuple[str, ...]) -> None:
    """Deletes groups, and with them what was granted to them."""
    for_each(group_ids, client.delete_group)


@group.command("members", epilog="Example: media-service group members editors-k3x9q2ma")
@click.argument("group_id", metavar="GROUP")
@json_option
@client_command
def list_members(client: Client, group_id: str, json_: bool) -> None:
    """Lists the members of a group, one per line."""
    for found in client.group_members(group_id):
        show(found, found.member, as_json=json_)


@group.command("add", epilog="Example: media-service group add editors-k3x9q2ma user:bob")
@click.argument("group_id", metavar="GROUP")
@click.argument("members", nargs=-1, required=True, metavar="MEMBER...")
@client_command
def add_members(client: Client, group_id: str, members: tuple[str, ...]) -> None:
    """Adds members: user:ID or service_account:ID."""
    for member in members:
        client.add_group_member(group_id, member)


@group.command("remove")
@click.argument("group_id", metavar="GROUP")
@click.argument("members", nargs=-1, required=True, metavar="MEMBER...")
@client_command
def remove_members(client: Client, group_id: str, members: tuple[str, ...]) -> None:
    """Removes members, with effect on their next call."""
    for member in members:
        client.remove_group_member(group_id, member)


def show_group(found: Group, *, as_json: bool) -> None:
    show(found, found.group_id, found.organization_id, found.display_name, as_json=as_json)
