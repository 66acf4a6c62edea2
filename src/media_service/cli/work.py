"""`media-service work`: a worker."""

import click

from media_service.cli.service_process import run, settings_to_open_media


@click.command()
def work() -> None:
    """Runs a worker, which inspects and processes media, until it is stopped.

    Needs MEDIA_DATABASE_URL and the same storage as the server. Run any number of
    workers on any number of machines; each runs MEDIA_WORKER_SLOTS jobs at once.

    SIGTERM or Ctrl-C stops it; another worker repeats the unfinished jobs.
    """
    config = settings_to_open_media()
    from media_service import app  # noqa: PLC0415 - codecs and all, not for --help

    run("worker", app.work, config)
