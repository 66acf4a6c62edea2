"""Commands that change several media with one call: those with these ids, or all that match a
filter."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import click

from media_service.cli import output
from media_service.cli.following import follow
from media_service_client import BatchResult, Client, Job, Media

AT_ONCE = 1000
filter_option = click.option(
    "--filter",
    "filter_",
    default="",
    metavar="EXPRESSION",
    help="Change all media that match the filter, as in `ls`.",
)
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="With --filter: change nothing, and say how many would change."
)


class Done(Protocol):
    """The answer of a batch."""

    @property
    def results(self) -> Sequence[BatchResult]: ...

    @property
    def changed_count(self) -> int: ...

    @property
    def selected_count(self) -> int: ...

    @property
    def job(self) -> Job: ...


class Act(Protocol):
    """A batch, as a method of the client."""

    def __call__(
        self,
        media_ids: Sequence[str] = (),
        *,
        filter: str = "",  # noqa: A002 - the contract's word
        validate_only: bool = False,
    ) -> Done: ...


def check_selection(wrong: object, why: str) -> None:
    if wrong:
        raise click.UsageError(why)


def for_selected(client: Client, filter_: str, act: Act, done: str, *, dry_run: bool) -> None:
    """Applies a change to all media that match a filter, and prints how many have changed. Waits
    for the job if they are many. Ends with 1 if some have an error."""
    answer = act(filter=filter_, validate_only=dry_run)
    if answer.job.job_id:
        for_job(follow(client, answer.job), done)
        return
    failed = complain(answer.results)
    # A dry run of many has no results.
    changed = answer.changed_count if answer.results else answer.selected_count
    click.echo(f"{changed} {done}")
    if failed:
        raise SystemExit(1)


def for_job(job: Job, done: str) -> None:
    """Prints what the job of a batch has done."""
    batch = job.batch
    for each in batch.errors:
        output.complain(f"{each.media_id}: {each.error.message}")
    if (more := batch.failed_count - len(batch.errors)) > 0:
        output.complain(f"{more} more media were not changed")
    click.echo(f"{batch.changed_count} {done}")
    if job.state != Job.SUCCEEDED:
        output.complain(job.error.message or "the job was cancelled")
    if job.state != Job.SUCCEEDED or batch.failed_count:
        raise SystemExit(1)


ActOnIds: TypeAlias = Callable[[Sequence[str]], Done]


def for_ids(
    client: Client, media_ids: Sequence[str], act: ActOnIds, show: Callable[[Media], None]
) -> None:
    """Changes media and shows them. Continues after a failure, and then ends with 1."""
    if not change_ids(client, media_ids, act, show):
        raise SystemExit(1)


def change_ids(
    client: Client, media_ids: Sequence[str], act: ActOnIds, show: Callable[[Media], None]
) -> bool:
    """Applies a change to up to a thousand media in each call, and shows those that are as they
    should be. Returns whether all are."""
    distinct = list(dict.fromkeys(media_ids))
    failed = False
    for start in range(0, len(distinct), AT_ONCE):
        results = act(distinct[start : start + AT_ONCE]).results
        failed |= complain(results)
        changed = [each.media_id for each in results if each.HasField("etag")]
        for found in client.batch_get(changed):
            show(found.media)
    return not failed


def complain(results: Sequence[BatchResult]) -> bool:
    """Prints the errors in the results of a batch. Returns whether there are any."""
    errors = [each for each in results if each.HasField("error")]
    for each in errors:
        output.complain(f"{each.media_id}: {each.error.message}")
    return bool(errors)
