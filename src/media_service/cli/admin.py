"""`media-service admin`: administrators, whom an operator makes in the database itself."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from media_service.cli.data_dir import borrowed_database
from media_service.cli.service_process import settings
from media_service.config import ConfigError
from media_service.errors import MediaError

T = TypeVar("T")


@click.group()
def admin() -> None:
    """Makes administrators, who may see and do everything in the installation.

    It uses MEDIA_DATABASE_URL, or the database of `media-service dev` in MEDIA_DATA_DIR. USER is
    the `sub` of the user's token, or ISSUER|SUBJECT for a user of an additional issuer.
    """


@admin.command()
@click.argument("user")
def grant(user: str) -> None:
    """Makes a user an administrator. Their next call has the effect."""
    from media_service.sharing import administrators  # noqa: PLC0415 - not for --help

    run(lambda url: administrators.add(url, f"user:{user}"))
    click.echo(f"{user} is an administrator.")


@admin.command()
@click.argument("user")
def revoke(user: str) -> None:
    """Makes an administrator a user like all others. Their next call has the effect."""
    from media_service.sharing import administrators  # noqa: PLC0415 - not for --help

    run(lambda url: administrators.remove(url, f"user:{user}"))
    click.echo(f"{user} is not an administrator.")


@admin.command(name="list")
def list_() -> None:
    """Lists the administrators. In each line: the grantee, such as user:ann."""
    from media_service.sharing import administrators  # noqa: PLC0415 - not for --help

    for grantee in run(administrators.names):
        click.echo(grantee)


def run(work: Callable[[str], Awaitable[T]]) -> T:
    """Runs work on the database of this machine, given its URL."""

    async def main(url: str) -> T:
        return await work(url)

    try:
        with borrowed_database(settings()) as url:
            return asyncio.run(main(url))
    except (MediaError, ConfigError) as error:
        raise click.ClickException(str(error)) from None
