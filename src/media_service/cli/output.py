"""The output of commands: for people on a terminal, for programs in a pipe."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from media_service.cli.json_output import print_json
from media_service_client import Job, Media

Advance = Callable[[int, int], None]
ONE_STEP = 1 << 20  # bytes


def on_terminal() -> bool:
    """Whether standard output is a terminal. In a pipe, results are plain lines."""
    return sys.stdout.isatty()


def printable(text: str) -> str:
    """Replaces characters that could control the terminal or break a line of fields."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def line(media: Media) -> str:
    """A media in a pipe: id, size in bytes, content type and name, separated by tabs."""
    name = printable(media.filename)
    return f"{media.media_id}\t{media.size_bytes}\t{media.content_type}\t{name}"


def table(rows: list[Media]) -> None:
    """Media on a terminal."""
    grid = Table("ID", "Size", "Type", "State", "Created", "Name", box=None, pad_edge=False)
    grid.columns[1].justify = "right"
    grid.columns[0].no_wrap = True
    for media in rows:
        grid.add_row(
            media.media_id,
            decimal(media.size_bytes),
            media.content_type,
            Media.State.Name(media.state),
            media.create_time.ToDatetime().strftime("%Y-%m-%d %H:%M"),
            escape(printable(media.filename)),
        )
    Console().print(grid)


def print_media(media: Media, *, as_json: bool) -> None:
    """Prints a media for programs."""
    if as_json:
        print_json(media)
    else:
        click.echo(line(media))


def report(media: Media, done: str, *, as_json: bool) -> None:
    """Prints a media after a change."""
    if on_terminal() and not as_json:
        name = printable(media.filename) or "(no name)"
        size = decimal(media.size_bytes)
        click.echo(f"{done} {name}  {media.media_id}  {media.content_type}  {size}")
    else:
        print_media(media, as_json=as_json)


def complain(message: str) -> None:
    """Prints an error or a notice to standard error."""
    lines = [printable(part) for part in message.splitlines()]
    click.echo("media-service: " + "\n".join(lines), err=True)


@contextmanager
def progress(title: str, hint: str = "") -> Iterator[Advance]:
    """Shows a bar of bytes, rate and remaining time on a terminal. Other output appears above it.
    In a pipe, prints only `hint`, once, if the work takes more than one step."""
    if not sys.stderr.isatty():
        hints = iter([hint])

        def say(done: int, total: int) -> None:
            if total > ONE_STEP and (once := next(hints, "")):
                complain(once)

        yield say
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    bars = Progress(
        *columns, console=Console(stderr=True), transient=True, redirect_stdout=on_terminal()
    )
    with bars:
        task = bars.add_task(printable(title)[:40], total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


@contextmanager
def job_progress(title: str) -> Iterator[Callable[[Job], None]]:
    """Shows a bar of percent with the name of the stage on a terminal, and nothing in a pipe."""
    if not sys.stderr.isatty():
        yield lambda job: None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(printable(title)[:40], total=100)

        def show(job: Job) -> None:
            what = job.stage or Job.State.Name(job.state).lower()
            again = f", attempt {job.attempt}" if job.attempt > 1 else ""
            description = printable(f"{title[:40]}: {what}{again}")
            bars.update(task, completed=job.progress_percent, description=description)

        yield show


def job_line(job: Job) -> str:
    """A job in a pipe: id, state, type, percent, media id and name of the rendition, separated by
    tabs."""
    state, kind = Job.State.Name(job.state), Job.Type.Name(job.type)
    return "\t".join(
        [job.job_id, state, kind, str(job.progress_percent), job.media_id, job.rendition_name]
    )


def job_table(rows: Iterable[Job]) -> None:
    """Jobs on a terminal."""
    grid = Table("Job", "State", "Type", "Done", "Created", "What", box=None, pad_edge=False)
    grid.columns[3].justify = "right"
    grid.columns[0].no_wrap = True
    for job in rows:
        what = job.error.message or job.stage or job.rendition_name
        grid.add_row(
            job.job_id,
            Job.State.Name(job.state),
            Job.Type.Name(job.type),
            f"{job.progress_percent} %",
            job.create_time.ToDatetime().strftime("%Y-%m-%d %H:%M"),
            escape(printable(what)),
        )
    Console().print(grid)


@contextmanager
def waiting(title: str) -> Iterator[None]:
    """Shows activity on a terminal, for work of unknown length."""
    if not sys.stderr.isatty():
        yield
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False))
    bars = Progress(
        *columns, console=Console(stderr=True), transient=True, redirect_stdout=on_terminal()
    )
    with bars:
        bars.add_task(printable(title), total=None)
        yield
