"""The messages of the protocol with foreign workers, as docs/asyncapi.yaml describes them.

What comes from outside is bounded here. A message that does not fit is rejected.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

# The names of the messages are those of their queues.
PROCESS, PROGRESS = "media.process", "media.progress"
PROCESSED, FAILED = "media.processed", "media.failed"
MAX_BYTES = 64 << 10
MAX_PIXELS_OF_SIDE = 1 << 24

Token = Annotated[str, Meta(max_length=4000)]
Side = Annotated[int, Meta(ge=0, le=MAX_PIXELS_OF_SIDE)]


class Message(Struct, frozen=True, kw_only=True, rename="camel"):
    """Unknown fields of others are ignored, so that the protocol can grow."""


class Source(Message, frozen=True, kw_only=True):
    """A file to read: GET `url`."""

    media_id: str
    url: str
    content_type: str
    size_bytes: int


class Target(Message, frozen=True, kw_only=True):
    """A file to write: PUT `url`. It becomes the rendition."""

    rendition: str
    url: str


class Process(Message, frozen=True, kw_only=True):
    """A job for a foreign worker. `operations`: in text form, in their order."""

    job_id: str
    media_id: str
    token: str
    attempt: int
    operations: list[str]
    source: Source
    overlays: list[Source]
    results: list[Target]
    expire_time: str
    heartbeat_seconds: int


class Progress(Message, frozen=True, kw_only=True):
    """The worker has taken the job, or still works on it."""

    token: Token
    stage: Annotated[str, Meta(max_length=32, pattern=r"^[a-z][a-z_-]*$")] = "work"
    percent: Annotated[int, Meta(ge=0, le=100)] = 0


class Result(Message, frozen=True, kw_only=True):
    """A file that the worker has written, and what it says of it."""

    rendition: Annotated[str, Meta(max_length=100)]
    url: Token
    content_type: Annotated[str, Meta(max_length=200)]
    size_bytes: Annotated[int, Meta(gt=0)]
    width: Side = 0
    height: Side = 0
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None = None


class Processed(Message, frozen=True, kw_only=True):
    token: Token
    results: Annotated[list[Result], Meta(min_length=1, max_length=10)]


class Failed(Message, frozen=True, kw_only=True):
    """`code`: a word such as OUT_OF_MEMORY, which the owner of the job sees. `message` is only
    logged, because it may have anything. `retriable`: whether another attempt may succeed."""

    token: Token
    code: Annotated[str, Meta(pattern="^[A-Z][A-Z0-9_]{0,62}$")]
    message: Annotated[str, Meta(max_length=2000)] = ""
    retriable: bool = False


TYPES: dict[str, type[Progress | Processed | Failed]] = {
    PROGRESS: Progress,
    PROCESSED: Processed,
    FAILED: Failed,
}


def decode(name: str, body: bytes) -> Progress | Processed | Failed:
    """A message from a foreign worker. Raises ValueError if it is none."""
    if len(body) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES} bytes")
    return msgspec.json.decode(body, type=TYPES[name])
