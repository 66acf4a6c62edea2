"""`media-service process`, `reprocess` and `operations`: renditions by pipelines and presets."""

from functools import partial

import click
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from media_service.cli import output
from media_service.cli.client_command import client_command, fail
from media_service.cli.following import follow
from media_service.cli.jobs import print_job
from media_service.cli.json_output import json_option, print_json
from media_service.cli.selected import (
    check_selection,
    dry_run_option,
    filter_option,
    for_selected,
)
from media_service_client import Client, Job, Media, OperationInfo

PRIORITIES = [value.name for value in Job.Priority.DESCRIPTOR.values if value.number]


@click.command(
    epilog="""\b
Examples:
  media-service process ID resize:800x600 compress:85 --watch
  media-service process ID crop:600x600:gravity=attention clarendon --name square
  media-service process ID resize:300x300:cover convert:avif --watch | cut -f6
  media-service process ID clip:10:25.5 transcode:h264:720 --watch
  media-service process ID frame:12.5 resize:400x
  media-service process --filter 'kind=IMAGE' resize:800x600 --dry-run
  media-service operations
"""
)
@click.argument("words", nargs=-1, required=True, metavar="[ID] OPERATION...")
@filter_option
@dry_run_option
@click.option("--name", default="", metavar="NAME", help="Name of the rendition.")
@click.option(
    "--priority",
    type=click.Choice(PRIORITIES, case_sensitive=False),
    default="NORMAL",
    show_default=True,
    help="Priority among your jobs.",
)
@click.option("--watch", is_flag=True, help="Wait for the job and show its progress.")
@json_option
@client_command
def process(
    client: Client,
    words: tuple[str, ...],
    filter_: str,
    dry_run: bool,
    name: str,
    priority: str,
    watch: bool,
    json_: bool,
) -> None:
    """Starts a job that creates a rendition of a media. The operations apply in order. With
    --filter, no ID is named, and the number of jobs that were started is printed.

    The job continues after this command ends. In a pipe, the output is one line: job id, state,
    type, percent, media id and name of the rendition, separated by tabs.
    """
    level = Job.Priority.Value(priority)
    if filter_:
        act = partial(client.batch_process, ",".join(words), rendition=name, priority=level)
        for_selected(client, filter_, act, "started", dry_run=dry_run)
        return
    media_id, *operations = words
    check_selection(not operations or dry_run, "name an ID and operations, or a --filter")
    job = client.process(media_id, ",".join(operations), rendition=name, priority=level)
    if watch:
        job = follow(client, job)
    report(job, as_json=json_)


@click.command(
    epilog="""\b
Examples:
  media-service reprocess ID
  media-service ls --all | cut -f1 | xargs -n 1 media-service reprocess
"""
)
@click.argument("media_id", metavar="ID")
@json_option
@client_command
def reprocess(client: Client, media_id: str, json_: bool) -> None:
    """Renders the standard renditions of a media anew: thumbnails and presets.

    This includes renditions that were deleted. It waits for the jobs, which continue if this
    command ends. In a pipe, the output is one line per job: job id, state, type, percent, media id
    and name of the rendition, separated by tabs.
    """
    first = follow(client, client.reprocess(media_id))
    started = [job for job in client.jobs(media_id=media_id) if is_preset(job, first)]
    jobs = [first, *(follow(client, job) for job in reversed(started))]
    for job in jobs:
        if json_ or not output.on_terminal():
            print_job(job, as_json=json_)
        elif job.state == Job.SUCCEEDED:
            done = f"rendered {job.rendition_name}" if job.rendition_name else "inspected"
            click.echo(done)
    problems = [job.error.message or "a job was cancelled" for job in jobs if is_in_vain(job)]
    if problems:
        fail("; ".join(problems))


def is_preset(job: Job, first: Job) -> bool:
    """Whether a job renders a preset, and was started by the job `first`, or after it."""
    since = first.create_time.ToNanoseconds()
    by_service = job.type == Job.PROCESS and job.actor.type == "service"
    return by_service and job.create_time.ToNanoseconds() >= since


def is_in_vain(job: Job) -> bool:
    return job.state in {Job.FAILED, Job.CANCELLED}


def report(job: Job, *, as_json: bool) -> None:
    """Prints a job; ends with 1 if it failed."""
    if as_json or not output.on_terminal():
        print_job(job, as_json=as_json)
    elif job.state == Job.SUCCEEDED:
        rendition = job.rendition
        shape = f"{rendition.width}x{rendition.height}  " if rendition.width else ""
        size = decimal(rendition.size_bytes)
        click.echo(f"created {rendition.name}  {rendition.content_type}  {shape}{size}")
        click.echo(f"  media-service download {job.media_id} --rendition {rendition.name}")
    else:
        click.echo(f"{Job.State.Name(job.state).lower()} job {job.job_id}")
    if is_in_vain(job):
        fail(job.error.message or "the job was cancelled")


@click.command(
    epilog="""\b
Examples:
  media-service operations
  media-service operations resize
"""
)
@click.argument("name", default="", metavar="[NAME]")
@json_option
@client_command
def operations(client: Client, name: str, json_: bool) -> None:
    """Lists all operations, or shows one with its parameters.

    Write an operation as its name and, after colons, its parameters in order or by name:
    resize:800x600:fit=cover. The name of a filter alone is enough. In values, write ~2C, ~3A, ~3D
    and ~7E for a comma, a colon, an equals sign and a tilde.
    """
    known = {each.name: each for each in client.operations()}
    if name:
        if name not in known:
            fail(f"there is no operation {name!r}; there are {', '.join(known)}")
        if json_:
            print_json(known[name])
        else:
            explain(known[name])
    elif json_:
        for each in known.values():
            print_json(each)
    elif output.on_terminal():
        grid = Table("Operation", "Of", "What it does", "Example", box=None, pad_edge=False)
        for each in known.values():
            grid.add_row(each.name, kinds(each), escape(each.description), escape(each.example))
        Console().print(grid)
    else:
        for each in known.values():
            click.echo(f"{each.name}\t{each.example}\t{each.description}")


def kinds(info: OperationInfo) -> str:
    """The kinds that an operation accepts, and the kind that it outputs if it differs."""
    takes = ", ".join(Media.Kind.Name(kind).lower() for kind in info.kinds)
    return f"{takes} → {Media.Kind.Name(info.output).lower()}" if info.output else takes


def explain(info: OperationInfo) -> None:
    """One operation, with its parameters."""
    click.echo(f"{info.name} ({kinds(info)}): {info.description}\n\n  {info.example}\n")
    for each in info.parameters:
        kind = each.Type.Name(each.type).lower()
        bounded = each.min_value or each.max_value
        range_ = f"{each.min_value} to {each.max_value}" if bounded else kind
        allowed = ", ".join(each.values) or range_
        default = f"; default {each.default_value}" if each.default_value else ""
        click.echo(f"  {each.name}  ({allowed}{default})")
        if each.description:
            click.echo(f"      {each.description}")
