"""Signed URLs, and requests without a token."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import grpc
from mediaservice.v1 import (
    download_service_pb2,
    download_service_pb2_grpc,
)

from tests.support.rpc.server import Caller, Running, text_of


async def signed(
    caller: Caller, media_id: str, ttl: timedelta | None = None, **how: Any
) -> download_service_pb2.SignUrlResponse:
    request = download_service_pb2.SignUrlRequest(media_id=media_id, **how)
    if ttl is not None:
        request.ttl.FromTimedelta(ttl)
    return await caller.call(caller.downloads.SignUrl, request)


def token_of(url: str) -> str:
    """The token of a URL such as `.../v1/signed/TOKEN/name`."""
    before, v1, signed, token, name = urlsplit(url).path.split("/")
    assert (before, v1, signed) == ("", "v1", "signed")
    assert name
    return token


async def link(caller: Caller, media_id: str, **how: Any) -> str:
    """Creates a link and returns its token."""
    return token_of((await signed(caller, media_id, **how)).url)


@dataclass(frozen=True)
class Answer:
    content: bytes
    headers: dict[str, str]


class Anybody:
    """A caller without a token."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._downloads = download_service_pb2_grpc.DownloadServiceStub(channel)

    async def read(self, token: str, *headers: tuple[str, str]) -> Answer:
        request = download_service_pb2.GetSignedRequest(token=token)
        call = self._downloads.GetSigned(request, metadata=headers)
        content = b"".join([body.data async for body in call])
        return Answer(content, text_of(await call.initial_metadata()))


@asynccontextmanager
async def somebody(service: Running) -> AsyncIterator[Anybody]:
    async with grpc.aio.insecure_channel(service.address) as channel:
        yield Anybody(channel)
