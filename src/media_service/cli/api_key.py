"""`media-service api-key`: the secrets of service accounts."""

from datetime import timedelta
from functools import partial

import click

from media_service.cli import output
from media_service.cli.client_command import client_command
from media_service.cli.duration import Duration
from media_service.cli.each import for_each
from media_service.cli.json_output import json_option, print_json
from media_service.clock import now
from media_service_client import ApiKey, Client


@click.group()
def api_key() -> None:
    """Creates, lists and revokes API keys of service accounts.

    In a pipe, the output is one line per key: id, prefix, state, account id and name, separated by
    tabs.
    """


@api_key.command(
    epilog="""\b
Examples:
  media-service api-key create ID --scope uploads.write --scope media.read
  KEY=$(media-service api-key create ID --expires 30d)
"""
)
@click.argument("account_id", metavar="ID")
@click.option("--name", default="", metavar="NAME", help="What people call the key.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    metavar="PERMISSION",
    help="A permission, such as media.read; may be repeated. None: every permission.",
)
@click.option("--expires", type=Duration(), metavar="SPAN", help="How long it works, such as 30d.")
@json_option
@client_command
def create(
    client: Client,
    account_id: str,
    name: str,
    scopes: tuple[str, ...],
    expires: timedelta | None,
    json_: bool,
) -> None:
    """Creates an API key of the service account ID and prints it. It cannot be shown again."""
    expire_time = now() + expires if expires else None
    created = client.create_api_key(
        account_id, display_name=name, scopes=scopes, expire_time=expire_time
    )
    if json_:
        print_json(created)
    else:
        click.echo(created.key)
        output.complain("Keep the key now. It cannot be shown again.")


@api_key.command("list")
@click.option(
    "--account", "account_id", default="", metavar="ID", help="Only keys of this account."
)
@click.option("--prefix", default="", metavar="PREFIX", help="Only the key msk_PREFIX_...")
@json_option
@client_command
def list_(client: Client, account_id: str, prefix: str, json_: bool) -> None:
    """Lists the API keys of the service accounts that you manage, newest first."""
    for key in client.api_keys(service_account_id=account_id, prefix=prefix):
        print_key(key, as_json=json_)


@api_key.command()
@click.argument("key_ids", nargs=-1, required=True, metavar="KEY...")
@json_option
@client_command
def revoke(client: Client, key_ids: tuple[str, ...], json_: bool) -> None:
    """Ends API keys at once. KEY is the id of a key, not the secret."""
    for_each(key_ids, client.revoke_api_key, partial(print_key, as_json=json_))


def print_key(key: ApiKey, *, as_json: bool) -> None:
    if as_json:
        print_json(key)
        return
    name = output.printable(key.display_name)
    fields = [key.api_key_id, key.prefix, state_of(key), key.service_account_id, name]
    click.echo("\t".join(fields))


def state_of(key: ApiKey) -> str:
    if key.HasField("revoke_time"):
        return "REVOKED"
    expired = (
        key.HasField("expire_time") and key.expire_time.ToNanoseconds() <= now().timestamp() * 1e9
    )
    return "EXPIRED" if expired else "ACTIVE"
