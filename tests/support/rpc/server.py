"""A server in the test's process, and clients for it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import grpc
import jwt
import psycopg
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from mediaservice.v1 import (
    access_service_pb2_grpc,
    archive_service_pb2_grpc,
    batch_service_pb2_grpc,
    collection_service_pb2_grpc,
    credentials_service_pb2_grpc,
    download_service_pb2,
    download_service_pb2_grpc,
    duplicate_service_pb2_grpc,
    event_service_pb2_grpc,
    job_service_pb2_grpc,
    media_pb2,
    media_service_pb2_grpc,
    policy_service_pb2_grpc,
    privacy_service_pb2_grpc,
    processing_service_pb2_grpc,
    quota_service_pb2_grpc,
    share_link_service_pb2_grpc,
    upload_pb2,
    upload_service_pb2,
    upload_service_pb2_grpc,
    webhook_service_pb2_grpc,
)

from media_service.clock import now
from media_service.ids import new_id

T = TypeVar("T")

SECRET = "a secret of at least thirty-two bytes"

HOUR = timedelta(hours=1)

# No presets: videos get only the renditions that a test requests.
NO_PRESETS = {f"MEDIA_{kind}_PRESETS": "-" for kind in ("VIDEO", "AUDIO", "DOCUMENT")}


def token(user: str, **claims: Any) -> str:
    claims = {"sub": user, "exp": now() + HOUR, **claims}
    return jwt.encode(claims, SECRET, algorithm="HS256")


@dataclass
class Caller:
    """Stubs that carry one user's token."""

    address: str
    channel: grpc.aio.Channel
    token: str
    metadata: tuple[tuple[str, str], ...] = field(init=False)

    def __post_init__(self) -> None:
        self.metadata = (("authorization", f"Bearer {self.token}"),)
        self.uploads = upload_service_pb2_grpc.UploadServiceStub(self.channel)
        self.downloads = download_service_pb2_grpc.DownloadServiceStub(self.channel)
        self.batches = batch_service_pb2_grpc.BatchServiceStub(self.channel)
        self.archives = archive_service_pb2_grpc.ArchiveServiceStub(self.channel)
        self.collections = collection_service_pb2_grpc.CollectionServiceStub(self.channel)
        self.duplicates = duplicate_service_pb2_grpc.DuplicateServiceStub(self.channel)
        self.media = media_service_pb2_grpc.MediaServiceStub(self.channel)
        self.processing = processing_service_pb2_grpc.ProcessingServiceStub(self.channel)
        self.jobs = job_service_pb2_grpc.JobServiceStub(self.channel)
        self.webhooks = webhook_service_pb2_grpc.WebhookServiceStub(self.channel)
        self.events = event_service_pb2_grpc.EventServiceStub(self.channel)
        self.credentials = credentials_service_pb2_grpc.CredentialsServiceStub(self.channel)
        self.quotas = quota_service_pb2_grpc.QuotaServiceStub(self.channel)
        self.policies = policy_service_pb2_grpc.PolicyServiceStub(self.channel)
        self.privacy = privacy_service_pb2_grpc.PrivacyServiceStub(self.channel)
        self.share_links = share_link_service_pb2_grpc.ShareLinkServiceStub(self.channel)
        self.access = access_service_pb2_grpc.AccessServiceStub(self.channel)

    async def call(
        self, method: Callable[..., Awaitable[T]], request: object, *headers: tuple[str, str]
    ) -> T:
        return await method(request, metadata=(*self.metadata, *headers))

    async def write(
        self, messages: Iterable[upload_service_pb2.WriteUploadRequest]
    ) -> upload_pb2.Upload:
        upload: upload_pb2.Upload = await self.stream("WriteUpload", messages)
        return upload

    async def stream(self, method: str, messages: Iterable[Any]) -> Any:
        """One call of UploadService that sends a stream."""
        return await asyncio.to_thread(self._stream, method, messages)

    def _stream(self, method: str, messages: Iterable[Any]) -> Any:
        # grpc.aio may lose the status of a call that the server ends during a write.
        with grpc.insecure_channel(self.address) as channel:
            uploads = upload_service_pb2_grpc.UploadServiceStub(channel)
            return getattr(uploads, method)(iter(messages), metadata=self.metadata)

    async def store(self, data: bytes, filename: str = "a.jpg") -> media_pb2.Media:
        """Stores a file in one message."""
        message = upload_service_pb2.WriteUploadRequest(data=data, finish=True)
        message.spec.filename = filename
        return (await self.write([message])).media

    async def store_all(self, data: bytes) -> media_pb2.Media:
        """Stores a file in as many messages as it needs."""
        pieces = range(0, len(data), 1 << 20)
        messages = [
            upload_service_pb2.WriteUploadRequest(offset=at, data=data[at : at + (1 << 20)])
            for at in pieces
        ]
        messages[0].spec.SetInParent()
        messages[-1].finish = True
        return (await self.write(messages)).media

    async def create(self, **spec: Any) -> upload_pb2.Upload:
        request = upload_service_pb2.CreateUploadRequest(spec=upload_pb2.UploadSpec(**spec))
        return await self.call(self.uploads.CreateUpload, request)

    async def get_upload(self, upload_id: str) -> upload_pb2.Upload:
        request = upload_service_pb2.GetUploadRequest(upload_id=upload_id)
        return await self.call(self.uploads.GetUpload, request)

    async def content(self, media_id: str, offset: int = 0, limit: int = 0) -> bytes:
        request = download_service_pb2.DownloadRequest(
            media_id=media_id, offset=offset, limit=limit
        )
        call = self.downloads.Download(request, metadata=self.metadata)
        return b"".join([message.data async for message in call])

    async def uploaded(self, upload_id: str) -> bytes:
        """The content of an upload's media."""
        return await self.content((await self.get_upload(upload_id)).media_id)

    async def until_upload(
        self, upload_id: str, condition: Callable[[upload_pb2.Upload], bool]
    ) -> upload_pb2.Upload:
        """Watches an upload until `condition` holds."""
        request = upload_service_pb2.WatchUploadRequest(upload_id=upload_id)
        async with asyncio.timeout(20):
            async for upload in self.uploads.WatchUpload(request, metadata=self.metadata):
                if condition(upload):
                    return upload
        raise AssertionError("the watch ended before the condition held")


@dataclass
class Running:
    """A server, and how to call it."""

    address: str
    data_dir: Path
    database_url: str
    channels: AsyncExitStack
    environ: Mapping[str, str]

    async def caller(self, user: str = "ann", **claims: Any) -> Caller:
        return await self.bearer(token(user, **claims))

    async def bearer(self, credential: str) -> Caller:
        """A caller with this token or API key."""
        channel = await self.channels.enter_async_context(grpc.aio.insecure_channel(self.address))
        return Caller(self.address, channel, credential)

    @asynccontextmanager
    async def database(self) -> AsyncIterator[psycopg.AsyncConnection]:
        """A separate connection to the database. It never blocks: the server runs in this loop."""
        connection = await psycopg.AsyncConnection.connect(self.database_url, autocommit=True)
        async with connection:
            yield connection


Start = Callable[..., Awaitable[Running]]


@dataclass(frozen=True)
class Refusal:
    """How a call was refused."""

    code: grpc.StatusCode
    reason: str
    metadata: dict[str, str]
    fields: list[str]
    headers: dict[str, str]
    message: str


async def refused(call: Awaitable[Any]) -> Refusal:
    """Awaits a call that must fail, and returns its refusal."""
    with pytest.raises(grpc.RpcError) as caught:
        await call
    return refusal(caught.value)


def refusal(error: grpc.RpcError) -> Refusal:
    status = rpc_status.from_call(error)
    assert status is not None, f"no details: {error!r}"
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(request)
    assert info.domain == "mediaservice"
    headers = text_of(error.trailing_metadata())
    fields = [violation.field for violation in request.field_violations]
    return Refusal(error.code(), info.reason, dict(info.metadata), fields, headers, status.message)


def text_of(metadata: Any) -> dict[str, str]:
    """The headers with text values. `metadata` is from a blocking or an asyncio call."""
    return {name: value for name, value in metadata or () if isinstance(value, str)}


def unknown_id() -> str:
    return new_id()
