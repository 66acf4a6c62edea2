"""Requests to Cloud Storage: when they are repeated, and the meaning of their errors."""

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
    """A failed request. Unlike the errors of the library, it has no headers, and so no token.

    `status`: of the response. None: there was no response.
    """

    def __init__(self, status: int | None, message: str) -> None:
        super().__init__(message)
        self.status = status

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed a moment later."""
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
        # A ValueError: the response is not JSON, so another server answers at this address.
        failed = RequestError(None, f"{type(error).__name__}: {error}")
    raise failed  # outside of the handler, so that its context has no headers


async def pause(seconds: float) -> None:
    """Sleeps for about `seconds`, so that requests that failed together do not return together."""
    await asyncio.sleep(seconds * random.uniform(0.5, 1.5))  # noqa: S311


async def persist(request: Callable[[], Awaitable[T]]) -> T:
    """Repeats a request that fails for a passing reason. It must be idempotent."""
    for seconds in RETRY_SECONDS:
        try:
            return await attempt(request())
        except RequestError as error:
            if not error.may_pass:
                raise
        await pause(seconds)
    return await attempt(request())
