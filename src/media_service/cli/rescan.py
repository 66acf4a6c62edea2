"""`media-service rescan`: scans all files again after local signatures have changed."""

import asyncio

import click

from media_service.cli.data_dir import borrowed_database
from media_service.cli.service_process import settings
from media_service.config import ConfigError
from media_service.errors import MediaError


@click.command()
def rescan() -> None:
    """Scans all files for viruses again, after you have changed local signatures of ClamAV.

    ClamAV reports the version of its official signatures only; when that changes, files are scanned
    again without this. Let clamd load the new files first: `clamdscan --reload`, and wait until its
    log says so. Files stay readable meanwhile.

    It uses MEDIA_DATABASE_URL, or the database of `media-service dev` in MEDIA_DATA_DIR.
    """
    from media_service.scanning import rescans  # noqa: PLC0415 - not for --help

    try:
        with borrowed_database(settings()) as url:
            asyncio.run(rescans.local_signatures_changed(url))
    except (MediaError, ConfigError) as error:
        raise click.ClickException(str(error)) from None
    click.echo("Workers scan all files again, beginning within a minute.")
