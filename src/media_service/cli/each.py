"""Commands that change several things, one after another."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from media_service.cli import output
from media_service_client import MediaServiceError

T = TypeVar("T")


def nothing(_: object) -> None:
    pass


def for_each(
    ids: Iterable[str], act: Callable[[str], T], show: Callable[[T], None] = nothing
) -> None:
    """Applies a change to each id and prints the result. Continues after a failure, and then ends
    with 1."""
    failed = False
    for each in ids:
        try:
            result = act(each)
        except MediaServiceError as error:
            output.complain(f"{each}: {error}")
            failed = True
        else:
            show(result)
    if failed:
        raise SystemExit(1)
