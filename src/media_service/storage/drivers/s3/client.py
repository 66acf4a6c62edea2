"""Connects to an S3 store, and translates its errors."""

import logging
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import Loader, create_loader

from media_service.errors import Internal, Reason, Unavailable
from media_service.ids import new_id
from media_service.storage.driver import blob_missing
from media_service.storage.drivers.s3.location import S3Location

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

log = logging.getLogger(__name__)

# The maximum number of connections. Slow downloads occupy theirs for a long time.
CONNECTIONS = 512
ATTEMPTS = 4
CONNECT_SECONDS = 5
MISSING = {"404", "NoSuchKey", "NoSuchUpload", "NotFound", "InvalidPart"}
# Errors about the numbers and the order of parts.
PERMANENT = {"InvalidArgument", "InvalidPartOrder"}


class Connections(AIOHTTPSession):  # type: ignore[misc]  # it has no types
    """Limits the wait for a free connection. The SDK has no such limit."""

    def __init__(self, *args: Any, timeout: tuple[float, float], **kwargs: Any) -> None:
        super().__init__(*args, timeout=timeout, **kwargs)
        connect, read = timeout
        self._timeout = aiohttp.ClientTimeout(connect=read, sock_connect=connect, sock_read=read)


def open_client(
    location: S3Location, read_seconds: float
) -> "AbstractAsyncContextManager[S3Client]":
    """Opens a client. The SDK finds the credentials."""
    config = AioConfig(
        http_session_cls=Connections,
        max_pool_connections=CONNECTIONS,
        connect_timeout=CONNECT_SECONDS,
        read_timeout=read_seconds,
        retries={"mode": "standard", "max_attempts": ATTEMPTS},
        # The default for URLs is an older version, which does not sign headers.
        signature_version="s3v4",
        # The driver sends checksums itself, so the SDK need not compute them.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={
            "addressing_style": "path" if location.path_style else "auto",
            "payload_signing_enabled": False,
        },
    )
    session = get_session()
    session.register_component("data_loader", service_models())
    client: AbstractAsyncContextManager[S3Client] = session.create_client(
        "s3",
        endpoint_url=location.endpoint or None,
        region_name=location.region or None,
        config=config,
    )
    return client


@cache
def service_models() -> Loader:
    """Loads the SDK's description of S3, which takes a tenth of a second, once per process."""
    return create_loader()


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def translated(key: str = "") -> Iterator[None]:
    """Translates the errors of requests into those of a driver."""
    try:
        yield
    except ClientError as error:
        if code_of(error) in MISSING:
            raise blob_missing(key) from error
        raise unavailable(f"it answered {code_of(error)}") from error
    except (BotoCoreError, aiohttp.ClientError, TimeoutError, OSError) as error:
        log.warning("the object store cannot be reached: %r", error)
        raise unavailable("it cannot be reached, or its answer is malformed") from error


@contextmanager
def permanent_part_errors() -> Iterator[None]:
    """Translates errors about the parts themselves, which no retry can fix."""
    try:
        yield
    except ClientError as error:
        if code_of(error) not in PERMANENT:
            raise
        error_id = new_id()
        log.error("error %s: the object store refused parts: %s", error_id, error)
        raise Internal(
            Reason.INTERNAL,
            f"The object store rejects these parts: {code_of(error)}.",
            error_id=error_id,
        ) from error


def unavailable(why: str) -> Unavailable:
    return Unavailable(Reason.STORAGE_UNAVAILABLE, f"The object store failed: {why}.")
