"""`media-service share-link`: secrets that share media with people who have no account."""

from datetime import timedelta
from functools import partial

import click

from media_service.cli import output
from media_service.cli.client_command import client_command
from media_service.cli.duration import Duration
from media_service.cli.each import for_each
from media_service.cli.json_output import json_option, print_json
from media_service.clock import now
from media_service_client import Client, ShareLink

MODES = [name for name, number in ShareLink.Mode.items() if number]


@click.group()
def share_link() -> None:
    """Shares media with people who have no account.

    In a pipe, the output is one line per link: id, state, mode, uses, targets and name, separated
    by tabs. "+2" as a target: two more media, which you may not see.
    """


@share_link.command(
    epilog="""\b
Examples:
  media-service share-link create media:ID media:ID --expires 30d
  media-service share-link create project:ID --mode download --max-uses 20 --password
  media-service share-link create project:ID --mode upload --max-files 50 --expires 7d
  media-service share-link create collection:ID --mode download
"""
)
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@click.option(
    "--mode",
    type=click.Choice([mode.lower() for mode in MODES]),
    default="view",
    show_default=True,
    help="view: no originals. upload: guests upload into the project.",
)
@click.option("--name", default="", metavar="NAME", help="What people call the link.")
@click.option("--expires", type=Duration(), metavar="SPAN", help="How long it works, such as 30d.")
@click.option(
    "--max-uses", type=click.IntRange(min=1), metavar="NUMBER", help="How often it may open."
)
@click.option("--max-files", type=click.IntRange(min=1), metavar="NUMBER", help="Of all guests.")
@click.option("--max-size", type=click.IntRange(min=1), metavar="BYTES", help="Of each file.")
@click.option("--password", "asks", is_flag=True, help="Asks for a password that opens it.")
@json_option
@client_command
def create(
    client: Client,
    targets: tuple[str, ...],
    mode: str,
    name: str,
    expires: timedelta | None,
    max_uses: int | None,
    max_files: int | None,
    max_size: int | None,
    asks: bool,
    json_: bool,
) -> None:
    """Creates a share link to media:ID..., project:ID or collection:ID, and prints its secret. It
    cannot be shown again. A web page takes it from the fragment of its address:
    https://example.com/#SECRET."""
    password = new_password() if asks else ""
    created = client.create_share_link(
        targets,
        ShareLink.Mode.Value(mode.upper()),
        display_name=name,
        expire_time=now() + expires if expires else None,
        max_uses=max_uses or 0,
        password=password,
        max_files=max_files or 0,
        max_file_size_bytes=max_size or 0,
    )
    if json_:
        print_json(created)
    else:
        click.echo(created.secret)
        output.complain("Keep the secret now. It cannot be shown again.")


@share_link.command("list")
@click.option(
    "--target",
    default="",
    metavar="TARGET",
    help="All links to media:ID, project:ID or collection:ID.",
)
@json_option
@client_command
def list_(client: Client, target: str, json_: bool) -> None:
    """Lists your share links, or all to a target that you manage, newest first."""
    for link in client.share_links(target=target):
        print_link(link, as_json=json_)


@share_link.command(epilog="Example: media-service share-link change LINK --expires 30d")
@click.argument("link_id", metavar="LINK")
@click.option("--name", metavar="NAME", help="What people call the link.")
@click.option("--expires", type=Duration(), metavar="SPAN", help="How long it works from now on.")
@click.option("--max-uses", type=click.IntRange(min=1), metavar="NUMBER", help="Of its whole life.")
@click.option("--password", "asks", is_flag=True, help="Asks for a new password.")
@json_option
@client_command
def change(
    client: Client,
    link_id: str,
    name: str | None,
    expires: timedelta | None,
    max_uses: int | None,
    asks: bool,
    json_: bool,
) -> None:
    """Changes a share link. LINK is the id of the link; its secret stays."""
    given = {
        "display_name": name,
        "expire_time": now() + expires if expires else None,
        "max_uses": max_uses,
        "password": new_password() if asks else None,
    }
    fields = {field: value for field, value in given.items() if value is not None}
    if not fields:
        raise click.UsageError("name at least one option")
    print_link(client.update_share_link(link_id, fields, **fields), as_json=json_)


@share_link.command()
@click.argument("link_ids", nargs=-1, required=True, metavar="LINK...")
@json_option
@client_command
def revoke(client: Client, link_ids: tuple[str, ...], json_: bool) -> None:
    """Ends share links and their sessions at once. LINK is the id of a link, not the secret."""
    for_each(link_ids, client.revoke_share_link, partial(print_link, as_json=json_))


@share_link.command(
    "open", epilog="Example: MEDIA_TOKEN=$(media-service share-link open SECRET) media-service ls"
)
@click.argument("secret", metavar="SECRET")
@click.option("--password", "asks", is_flag=True, help="Asks for the password.")
@json_option
@client_command
def open_(client: Client, secret: str, asks: bool, json_: bool) -> None:
    """Opens a share link, which is one use, and prints the token of a session of an hour."""
    password = click.prompt("Password", hide_input=True) if asks else ""
    opened = client.open_share_link(secret, password=password)
    if json_:
        print_json(opened)
    else:
        click.echo(opened.session_token)


def new_password() -> str:
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password


def print_link(link: ShareLink, *, as_json: bool) -> None:
    if as_json:
        print_json(link)
        return
    uses = f"{link.uses}/{link.max_uses}" if link.max_uses else str(link.uses)
    mode, name = ShareLink.Mode.Name(link.mode), output.printable(link.display_name)
    hidden = [f"+{link.hidden_targets}"] if link.hidden_targets else []
    targets = ",".join([*link.targets, *hidden])
    fields = [link.share_link_id, state_of(link), mode, uses, targets, name]
    click.echo("\t".join(fields))


def state_of(link: ShareLink) -> str:
    if link.HasField("revoke_time"):
        return "REVOKED"
    expired = (
        link.HasField("expire_time") and link.expire_time.ToNanoseconds() <= now().timestamp() * 1e9
    )
    used_up = link.max_uses and link.uses >= link.max_uses
    return "EXPIRED" if expired else "USED_UP" if used_up else "ACTIVE"
