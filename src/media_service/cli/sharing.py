"""`media-service org` and `grant`: who may do what."""

from datetime import UTC, datetime, timedelta

import click
from mediaservice.v1.rule_pb2 import Rule

from media_service.cli.client_command import client_command
from media_service.cli.duration import Duration
from media_service.cli.each import for_each
from media_service.cli.json_output import json_option
from media_service.cli.roles import role_name, show
from media_service_client import Client, Grant, Organization

ROLES = [name for name, number in Rule.Role.items() if number]
MEMBER = "member"


# Organizations


@click.group()
def org() -> None:
    """Manages organizations, whose users and media are isolated from others.

    In a pipe, the output is one line per organization: id, your role and name, separated by tabs.
    """


@org.command("create", epilog="Example: media-service org create acme --name 'Acme Inc.'")
@click.argument("organization_id", metavar="ID")
@click.option("--name", default="", help="Its name for people.")
@click.option("--issuer", default="", help="The issuer whose tokens may claim membership.")
@json_option
@client_command
def create_org(client: Client, organization_id: str, name: str, issuer: str, json_: bool) -> None:
    """Creates an organization, which only administrators may do (`media-service admin`)."""
    created = client.create_organization(organization_id, display_name=name, issuer=issuer)
    show_org(created, as_json=json_)


@org.command("list")
@json_option
@client_command
def list_orgs(client: Client, json_: bool) -> None:
    """Lists the organizations that you belong to."""
    for found in client.organizations():
        show_org(found, as_json=json_)


@org.command("change", epilog="Example: media-service org change acme --name 'Acme Inc.'")
@click.argument("organization_id", metavar="ID")
@click.option("--name", help="Its name for people.")
@click.option("--issuer", help="The issuer whose tokens may claim membership; '': the service's.")
@json_option
@client_command
def change_org(
    client: Client, organization_id: str, name: str | None, issuer: str | None, json_: bool
) -> None:
    """Renames an organization. Only administrators may change its issuer."""
    if name is None and issuer is None:
        raise click.UsageError("name at least one option")
    changed = client.update_organization(organization_id, display_name=name, issuer=issuer)
    show_org(changed, as_json=json_)


@org.command("delete")
@click.argument("organization_ids", nargs=-1, required=True, metavar="ID...")
@client_command
def delete_orgs(client: Client, organization_ids: tuple[str, ...]) -> None:
    """Deletes organizations in which nothing is left. Their ids cannot be used again."""
    for_each(organization_ids, client.delete_organization)


def show_org(found: Organization, *, as_json: bool) -> None:
    fields = (found.organization_id, role_name(found.role), found.display_name)
    show(found, *fields, as_json=as_json)


# Grants


@click.group()
def grant() -> None:
    """Gives others access to media, projects, owners and organizations, and takes it back.

    RESOURCE is media:ID, project:ID, organization:ID or owner:ORG/TYPE:ID. GRANTEE is user:ID,
    service_account:ID, group:ID, project:ID (its members), organization:ID or everybody. In a pipe,
    the output is one line per grant: resource, grantee, role and expiry, separated by tabs.
    """


@grant.command(
    "set",
    epilog="""\b
Examples:
  media-service grant set project:vacation-k3x9q2ma user:bob editor
  media-service grant set media:ID everybody viewer --expires 7d
  media-service grant set organization:acme user:bob member
""",
)
@click.argument("resource")
@click.argument("grantee")
@click.argument("role", type=click.Choice([*ROLES, MEMBER], case_sensitive=False))
@click.option("--expires", type=Duration(), metavar="SPAN", help="When it ends, such as 12h or 7d.")
@json_option
@client_command
def set_grant(
    client: Client,
    resource: str,
    grantee: str,
    role: str,
    expires: timedelta | None,
    json_: bool,
) -> None:
    """Grants a role. `member` of an organization belongs to it, and sees nothing by itself."""
    number = Rule.ROLE_UNSPECIFIED if role == MEMBER else Rule.Role.Value(role)
    expire_time = datetime.now(UTC) + expires if expires else None
    show_grant(client.grant(resource, grantee, number, expire_time=expire_time), as_json=json_)


@grant.command("list", epilog="Example: media-service grant list project:vacation-k3x9q2ma")
@click.argument("resource")
@json_option
@client_command
def list_grants(client: Client, resource: str, json_: bool) -> None:
    """Lists the grants on a resource, without those that it inherits."""
    for found in client.grants(resource):
        show_grant(found, as_json=json_)


@grant.command("role", epilog="Example: media-service grant role media:ID")
@click.argument("resource")
@json_option
@client_command
def role_on(client: Client, resource: str, json_: bool) -> None:
    """Prints your role on a resource: the highest of all that you have there."""
    found = client.access(resource)
    show(found, found.resource, role_name(found.role), as_json=json_)


@grant.command("delete", epilog="Example: media-service grant delete media:ID everybody")
@click.argument("resource")
@click.argument("grantee")
@client_command
def delete_grant(client: Client, resource: str, grantee: str) -> None:
    """Takes a role back, with effect on the next call."""
    client.revoke(resource, grantee)


def show_grant(found: Grant, *, as_json: bool) -> None:
    expiry = found.expire_time.ToJsonString() if found.HasField("expire_time") else "-"
    role = role_name(found.role) if found.role else MEMBER
    show(found, found.resource, found.grantee, role, expiry, as_json=as_json)
