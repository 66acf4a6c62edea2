"""Requests to Cloud Storage: repeated if they fail in passing, and what their errors mean."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp

from media_service.errors import MediaError, Reason, Unavailable

T = TypeVar("T")

# Waits between attempts, on average.
RETRY_SECONDS = (0.1, 0.4, 1.6)

NOT_FOUND = 404
REFUSED = {401, 403}
PASSING = {408, 429}


class RequestError(Exception):
    """A request that failed. Unlike the library's errors it has no headers, and so no token.

    `status`: of the answer; None if there was none.
    """

    def __init__(self, status: int | None, message: str) -> None:
        super().__init__(message)
        self.status = status

    @property
    def may_pass(self) -> bool:
        """Whether the same request may work a moment later."""
        return self.status is None or self.status in PASSING or self.status >= 500


def translate(error: RequestError) -> MediaError:
    if error.status in REFUSED:
        what = f"refused with {error.status}: its URL or the credentials are wrong"
    elif error.status == NOT_FOUND:
        what = "has no such bucket"
    elif error.status is None:
        what = "is out of reach"
    else:
        what = f"answered {error.status}"
    return Unavailable(Reason.STORAGE_UNAVAILABLE, f"The object store {what}.")


async def attempt(request: Awaitable[T]) -> T:
    try:
        return await request
    except aiohttp.ClientResponseError as error:
        failed = RequestError(error.status, " ".join(error.message.split()))
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        # A ValueError: something else answers there, and not in JSON.
        failed = RequestError(None, f"{type(error).__name__}: {error}")
    raise failed  # outside of the handler, or it would drag the headers along


async def pause(seconds: float) -> None:
    """Of this length on average, so that many who failed together do not come back together."""
    await asyncio.sleep(seconds * random.uniform(0.5, 1.5))  # noqa: S311


async def persist(request: Callable[[], Awaitable[T]]) -> T:
    """Repeats a request that fails in passing. It must be safe to repeat: all of ours are."""
    for seconds in RETRY_SECONDS:
        try:
            return await attempt(request())
        except RequestError as error:
            if not error.may_pass:
                raise
        await pause(seconds)
    return await attempt(request())
