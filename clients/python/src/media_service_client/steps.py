"""What a protocol can ask of its client.

A protocol (upload.py, download.py, calls.py) is a generator that yields steps and is sent their
results, or has a `MediaServiceError` thrown in. It does no input or output of its own: the sync and
the async client each perform the same steps in their own way.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.message import Message
from mediaservice.v1 import download_service_pb2

Result = TypeVar("Result")

# Called with (bytes done, bytes in all), from whichever thread moves the bytes. After a break
# the first may be smaller than before.
Progress = Callable[[int, int], None]


def ignore_progress(done: int, total: int) -> None:
    """For callers who do not ask."""


@dataclass(frozen=True, slots=True)
class Call:
    """One unary RPC; its result is the response."""

    method: str
    request: Message


@dataclass(frozen=True, slots=True)
class Send:
    """One RPC that takes a stream of messages; its result is the response."""

    method: str
    messages: Iterator[Message]


@dataclass(frozen=True, slots=True)
class Settle:
    """Watches an upload until it is in a final state, or the stream ends; the last `Upload`."""

    upload_id: str


@dataclass(frozen=True, slots=True)
class Receive:
    """One Download; each message is given to `take`, in order. No result."""

    request: download_service_pb2.DownloadRequest
    take: Callable[[download_service_pb2.DownloadResponse], None]


@dataclass(frozen=True, slots=True)
class Compute:
    """Something local that takes its time, such as reading a file; its result."""

    work: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Sleep:
    seconds: float


@dataclass(frozen=True, slots=True)
class Together:
    """Protocols of their own, at most `limit` at once. No result; the first failure ends all."""

    protocols: Iterator["Steps[Any]"]
    limit: int


Step = Call | Send | Settle | Receive | Compute | Sleep | Together
Steps = Generator[Step, Any, Result]
