"""Commands that change all media that match a filter."""

from collections.abc import Callable, Sequence
from typing import Protocol

import click

from media_service.cli import output
from media_service_client import BatchResult, Client

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


def for_selected(
    client: Client, filter_: str, act: Callable[[Sequence[str]], Done], done: str
) -> None:
    """Applies a change to all media that match a filter, a thousand in each call. Continues after a
    failure, and then ends with 1. The ids are collected first, because the change may end that they
    match."""
    ids = [media.media_id for media in client.list(filter=filter_, page_size=AT_ONCE)]
    changed, failed = 0, False
    for start in range(0, len(ids), AT_ONCE):
        answer = act(ids[start : start + AT_ONCE])
        changed += answer.changed_count
        for result in answer.results:
            if result.HasField("error"):
                output.complain(f"{result.media_id}: {result.error.message}")
                failed = True
        if len(ids) > AT_ONCE:
            click.echo(f"{min(start + AT_ONCE, len(ids))} of {len(ids)}", err=True)
    click.echo(f"{changed} {done}")
    if failed:
        raise SystemExit(1)
