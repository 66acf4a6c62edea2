"""A connection to RabbitMQ that comes back by itself."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Self, TypeVar
from urllib.parse import urlsplit

import aiormq
from aiormq.abc import AbstractChannel, AbstractConnection
from aiormq.base import Base
from aiormq.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelAccessRefused,
    ChannelInvalidStateError,
    ChannelPreconditionFailed,
    ConnectionNotAllowed,
    DeliveryError,
    InvalidFrameError,
    ProbableAuthenticationError,
)
from yarl import URL

from media_service.errors import Reason, Unavailable

log = logging.getLogger(__name__)
# It logs every failed attempt as an error. `Broker` logs when the broker goes and when it is back.
logging.getLogger("aiormq").setLevel(logging.CRITICAL)

# The time limit of connecting, and of declaring queues.
OPEN_SECONDS = 5.0
# The time limit of saying goodbye.
CLOSE_SECONDS = 1.0
# The pause between two attempts to connect.
PAUSE_SECONDS = 1.0
# A broker that is silent for three of them is gone.
HEARTBEAT_SECONDS = 5
# The time limit of an answer, such as the confirmation of a message.
ANSWER_SECONDS = 5.0

REFUSALS = (
    AuthenticationError,
    ChannelAccessRefused,
    ChannelPreconditionFailed,
    ConnectionNotAllowed,
    ProbableAuthenticationError,
)
FAILURES = (AMQPError, ChannelInvalidStateError, OSError, TimeoutError, EOFError)

# Declares what it needs and uses the connection, within the context. It yields the channels without
# which it cannot go on.
Session = Callable[[AbstractConnection], AbstractAsyncContextManager[Collection[AbstractChannel]]]


T = TypeVar("T")


class Refused(Exception):
    """The broker answers, and does not allow what is asked of it: the user name or the password is
    wrong, or a queue exists with other properties."""


class Broker:
    """Keeps a connection within a context, and runs `session` in each. `setting` names the setting
    with the URL. Entering the context waits for the first connection, but not for long: without
    one, the service runs as well. Raises ValueError if the URL is not valid."""

    def __init__(self, url: str, setting: str, session: Session) -> None:
        self._url = checked(url)
        self._setting = setting
        self._session = session
        self._keeping: asyncio.Task[None] | None = None
        self._first = asyncio.Event()
        self._refusal: Refused | None = None
        self._broken = asyncio.Event()
        self.up = False

    async def __aenter__(self) -> Self:
        """Raises Refused if the broker refuses the first session."""
        self._keeping = asyncio.create_task(self._keep(), name=f"{self._setting}")
        with suppress(TimeoutError):
            async with asyncio.timeout(OPEN_SECONDS):
                await self._first.wait()
        if self._refusal:
            await self.__aexit__()
            raise self._refusal
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._keeping:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])

    def lost(self) -> None:
        """Begins a new connection, because this one does not do what it must."""
        self.up = False
        self._broken.set()

    async def _keep(self) -> None:
        while True:
            try:
                await self._run()
            except REFUSALS as error:
                self._refusal = Refused(f"{self._setting}: the broker refuses: {error}")
                self._report(error)
            except (*FAILURES, Unavailable) as error:
                self._report(error)
            except Exception:  # the next connection may work
                log.exception("%s: the use of the broker failed", self._setting)
            self._first.set()
            await asyncio.sleep(PAUSE_SECONDS)

    async def _run(self) -> None:
        """Returns when the connection is lost."""
        async with connected(self._url) as connection:
            self._broken.clear()
            async with self._session(connection) as channels:
                if self._first.is_set():
                    log.warning("%s: the broker works again", self._setting)
                self._refusal = None
                self.up = True
                self._first.set()
                try:
                    await first_end(self._broken, connection, *channels)
                    log.warning("%s: the connection to the broker is lost", self._setting)
                finally:
                    self.up = False

    def _report(self, error: BaseException) -> None:
        if not self._first.is_set():
            log.warning("%s: the broker does not work: %s", self._setting, error or "no answer")


async def first_end(
    broken: asyncio.Event, connection: AbstractConnection, *channels: AbstractChannel
) -> None:
    breaking = asyncio.create_task(broken.wait())
    ends = [each.closing for each in (connection, *channels) if isinstance(each, Base)]
    try:
        await asyncio.wait([breaking, *ends], return_when=asyncio.FIRST_COMPLETED)
    finally:
        breaking.cancel()


async def answer(asked: Awaitable[T], seconds: float = ANSWER_SECONDS) -> T:
    """Waits for an answer of the broker. Raises Unavailable (BROKER_UNAVAILABLE) if there is none:
    what was asked may have been done. A message that it does not take or cannot route raises
    DeliveryError or PublishError."""
    try:
        async with asyncio.timeout(seconds):
            return await asked
    except (DeliveryError, *REFUSALS):
        raise
    except FAILURES as error:
        raise unavailable(str(error) or "no answer") from error
    except asyncio.CancelledError:
        # The library cancels those who wait when the connection ends.
        task = asyncio.current_task()
        if task and task.cancelling():
            raise
        raise unavailable("the connection ended") from None


def unavailable(why: str) -> Unavailable:
    return Unavailable(Reason.BROKER_UNAVAILABLE, f"RabbitMQ does not work: {why}")


async def connect(url: URL) -> AbstractConnection:
    try:
        return await aiormq.connect(url)
    except InvalidFrameError as error:  # the library does not tell the reason
        raise ConnectionNotAllowed(f"is there a virtual host {url.path!r}?") from error


@asynccontextmanager
async def connected(url: URL) -> AsyncIterator[AbstractConnection]:
    connection = await answer(connect(url), OPEN_SECONDS)
    try:
        yield connection
    finally:
        with suppress(Unavailable, *REFUSALS):
            await answer(connection.close(), CLOSE_SECONDS)


def checked(url: str) -> URL:
    """The URL with a heartbeat. Raises ValueError, which does not repeat it, because it may have a
    password."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"amqp", "amqps"} and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ValueError("a URL such as amqps://user:password@host:5671/vhost")
    found = URL(url)
    return found.update_query(heartbeat=found.query.get("heartbeat", HEARTBEAT_SECONDS))
