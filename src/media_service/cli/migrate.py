"""`media-service migrate`: upgrades the schema of the database."""

import asyncio

import click

from media_service.cli.service_process import settings_with_database
from media_service.db.migrate import migrate as apply
from media_service.errors import MediaError


@click.command()
def migrate() -> None:
    """Upgrades the database at MEDIA_DATABASE_URL to the schema of this version.

    Run it before the first start and after every upgrade. Running it again changes nothing, and
    concurrent runs are safe. There are no downgrades: an older version refuses a newer database.
    """
    config = settings_with_database()
    try:
        applied = asyncio.run(apply(config.database_url))
    except (MediaError, RuntimeError) as error:
        raise click.ClickException(str(error)) from None
    for name in applied:
        click.echo(f"applied {name}")
    if not applied:
        click.echo("up to date")
