"""`media-service service-account`: the callers that are programs."""

from functools import partial

import click

from media_service.cli import output
from media_service.cli.client_command import client_command
from media_service.cli.each import for_each
from media_service.cli.json_output import json_option, print_json
from media_service_client import Client, ServiceAccount


@click.group()
def service_account() -> None:
    """Creates, lists and deletes service accounts: the callers that are programs.

    In a pipe, the output is one line per account: id and name, separated by a tab.
    """


@service_account.command(epilog="Example: media-service service-account create 'nightly import'")
@click.argument("name")
@json_option
@client_command
def create(client: Client, name: str, json_: bool) -> None:
    """Creates a service account. `media-service api-key create ID` then creates its key."""
    print_account(client.create_service_account(name), as_json=json_)


@service_account.command("list")
@json_option
@client_command
def list_(client: Client, json_: bool) -> None:
    """Lists the service accounts that you manage, newest first."""
    for account in client.service_accounts():
        print_account(account, as_json=json_)


@service_account.command()
@click.argument("account_ids", nargs=-1, required=True, metavar="ID...")
@json_option
@client_command
def delete(client: Client, account_ids: tuple[str, ...], json_: bool) -> None:
    """Deletes service accounts and ends their API keys at once. Their media stay."""
    for_each(account_ids, client.delete_service_account, partial(print_account, as_json=json_))


def print_account(account: ServiceAccount, *, as_json: bool) -> None:
    if as_json:
        print_json(account)
    else:
        click.echo(f"{account.service_account_id}\t{output.printable(account.display_name)}")
