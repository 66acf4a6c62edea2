"""`media-service work`: a worker."""

import click

from media_service.cli.process import run, settings_with_database


@click.command()
def work() -> None:
    """Runs a worker, which inspects and processes what was uploaded, until it is told to stop.

    Needs MEDIA_DATABASE_URL and the same storage as the server. Run as many as you like, on any
    number of machines; each does MEDIA_WORKER_SLOTS jobs at once.

    SIGTERM or Ctrl-C ends it; jobs it had not finished are done by another worker.
    """
    config = settings_with_database()
    from media_service import app  # noqa: PLC0415 - codecs and all, not for --help

    run("worker", app.work, config)
