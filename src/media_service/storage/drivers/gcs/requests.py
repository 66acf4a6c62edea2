"""Repeats requests to Cloud Storage that fail temporarily, and translates their errors."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp

from media_service.errors import MediaError, Reason, Unavailable

T = TypeVar("T")

# Average waits between attempts.
RETRY_SECONDS = (0.1, 0.4, 1.6)

NOT_FOUND = 404
REFUSED = {401, 403}
PASSING = {408, 429}


class RequestError(Exception):
    """A failed request. Unlike the library's errors, it contains no headers, and so no token.

    `status` is the status of the response, or None if there was no response.
    """

    def __init__(self, status: int | None, message: str) -> None:
        super().__init__(message)
        self.status = status

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed if it is repeated."""
        return self.status is None or self.status in PASSING or self.status >= 500


def translate(error: RequestError) -> MediaError:
    if error.status in REFUSED:
        what = f"refused access with {error.status}: check its URL and the credentials"
    elif error.status == NOT_FOUND:
        what = "has no such bucket"
    elif error.status is None:
        what = "cannot be reached"
    else:
        what = f"answered {error.status}"
    return Unavailable(Reason.STORAGE_UNAVAILABLE, f"The object store {what}.")


async def attempt(request: Awaitable[T]) -> T:
    try:
        return await request
    except aiohttp.ClientResponseError as error:
        failed = RequestError(error.status, " ".join(error.message.split()))
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        # ValueError means that the response is not JSON, so this is not Cloud Storage.
        failed = RequestError(None, f"{type(error).__name__}: {error}")
    raise failed  # outside the handler, so that its context contains no headers


async def pause(seconds: float) -> None:
    """Sleeps for about `seconds`, randomized so that requests that failed together do not retry at
    the same time."""
    await asyncio.sleep(seconds * random.uniform(0.5, 1.5))  # noqa: S311


async def persist(request: Callable[[], Awaitable[T]]) -> T:
    """Sends a request, and repeats it if it fails temporarily. It must be idempotent."""
    for seconds in RETRY_SECONDS:
        try:
            return await attempt(request())
        except RequestError as error:
            if not error.may_pass:
                raise
        await pause(seconds)
    return await attempt(request())
