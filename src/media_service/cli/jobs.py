"""`media-service jobs`, `cancel` and `retry`."""

from functools import partial
from itertools import islice

import click

from media_service.cli import output
from media_service.cli.client_command import client_command
from media_service.cli.each import for_each
from media_service.cli.json_output import json_option, print_json
from media_service_client import Client, Job

PAGE = 50
STATES = list(dict.fromkeys(Job.State.Name(number) for number in Job.State.values() if number))


@click.command(
    epilog="""\b
Examples:
  media-service jobs
  media-service jobs --media ID --state failed
  media-service jobs --all --state failed | cut -f1 | xargs media-service retry
"""
)
@click.option("--media", "media_id", default="", metavar="ID", help="Only jobs on this media.")
@click.option(
    "--state", type=click.Choice(STATES, case_sensitive=False), help="Only jobs in this state."
)
@click.option("--all", "everything", is_flag=True, help=f"All, not only the first {PAGE}.")
@json_option
@client_command
def jobs(client: Client, media_id: str, state: str | None, everything: bool, json_: bool) -> None:
    """Lists the jobs on your media, newest first.

    In a pipe, the output is one line per job: id, state, type, percent, media id and name of the
    rendition, separated by tabs.
    """
    wanted = Job.State.Value(state) if state else Job.STATE_UNSPECIFIED
    size = 1000 if everything else PAGE + 1
    found = client.jobs(media_id=media_id, state=wanted, page_size=size)
    shown = found if everything else islice(found, PAGE)
    if output.on_terminal() and not json_:
        output.job_table(shown)
    else:
        for job in shown:
            print_job(job, as_json=json_)
    if not everything and next(found, None):
        click.echo(f"The first {PAGE}; --all lists the rest.", err=True)


@click.command(epilog="Example: media-service cancel JOB")
@click.argument("job_ids", nargs=-1, required=True, metavar="JOB...")
@json_option
@client_command
def cancel(client: Client, job_ids: tuple[str, ...], json_: bool) -> None:
    """Cancels jobs, including running ones."""
    for_each(job_ids, client.cancel_job, partial(print_job, as_json=json_))


@click.command(epilog="Example: media-service retry JOB")
@click.argument("job_ids", nargs=-1, required=True, metavar="JOB...")
@json_option
@client_command
def retry(client: Client, job_ids: tuple[str, ...], json_: bool) -> None:
    """Retries jobs that failed or were cancelled."""
    for_each(job_ids, client.retry_job, partial(print_job, as_json=json_))


def print_job(job: Job, *, as_json: bool) -> None:
    if as_json:
        print_json(job)
    else:
        click.echo(output.job_line(job))
