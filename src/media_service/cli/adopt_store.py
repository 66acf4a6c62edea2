"""`media-service adopt-store`: makes the database expect a store as it is."""

import asyncio
from dataclasses import replace

import click

from media_service.cli.data_dir import borrowed_database
from media_service.cli.service_process import settings
from media_service.config import ConfigError
from media_service.errors import MediaError


@click.command()
@click.argument("name", type=click.Choice(["raw", "public"]))
def adopt_store(name: str) -> None:
    """Uses a store from now on as it is, although the database knows another one.

    A server and a worker refuse to start on a store without the marker that the database knows.
    Most often, a disk is not mounted or a setting is wrong. Run this only if that is not so, for
    example after the disk was lost. `media-service reconcile` then finds the media whose bytes are
    missing.

    It uses MEDIA_DATABASE_URL, or the database of `media-service dev` in MEDIA_DATA_DIR. Restart
    the service afterwards.
    """
    try:
        with borrowed_database(settings()) as url:
            from media_service import app  # noqa: PLC0415 - the whole service, not for --help

            config = replace(settings(), database_url=url)
            marker = asyncio.run(app.adopt_store(config, name))
    except (MediaError, ConfigError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"The database now expects the {name} store with the marker {marker}.")
