"""The composition root: what is made of what, and in which order it starts and stops."""

import asyncio
import logging
import resource
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from media_service.access.tokens import TokenVerifier
from media_service.config import Config, ConfigError
from media_service.db.database import Database
from media_service.db.notify import Notifier
from media_service.downloads.service import DownloadService
from media_service.errors import MediaError, Reason, Unavailable
from media_service.jobs.model import JobKind
from media_service.jobs.worker import Worker
from media_service.media.ingest import IngestHandler
from media_service.media.purge import UnlinkHandler, purge_due
from media_service.media.reader import MediaReader
from media_service.media.service import MediaService
from media_service.processing.inspector import Inspector
from media_service.rpc.server import RpcServer, Services
from media_service.storage.blobs import BlobStore, open_store
from media_service.uploads.acceptance import Acceptance
from media_service.uploads.admission import Admission, most_streams
from media_service.uploads.discard import DiscardHandler, expire_uploads
from media_service.uploads.finish import Finisher, FinishHandler
from media_service.uploads.service import UploadService

log = logging.getLogger(__name__)

GRACE_SECONDS = 10
# How often a worker looks for uploads to expire and media to purge.
SWEEP_SECONDS = 60


@dataclass(frozen=True)
class Base:
    """What server and worker both stand on."""

    database: Database
    notifier: Notifier
    raw: BlobStore
    acceptance: Acceptance
    finisher: Finisher


@asynccontextmanager
async def base(config: Config) -> AsyncIterator[Base]:
    try:
        store = open_store("raw", config.raw_url)
    except ValueError as error:
        raise ConfigError(f"MEDIA_STORAGE_RAW_URL must be {error}") from None
    acceptance = Acceptance(config.max_upload_size, config.max_pixels, config.allowed_types)
    try:
        await check(store, "MEDIA_STORAGE_RAW_URL")
        async with (
            Database(config.database_url, config.database_pool_size) as database,
            Notifier(config.database_url) as notifier,
        ):
            finisher = Finisher(database, notifier, store, acceptance)
            yield Base(database, notifier, store, acceptance, finisher)
    finally:
        await store.driver.close()


async def check(store: BlobStore, setting: str) -> None:
    """Raises Unavailable, naming the setting, unless the store can be read and written."""
    try:
        await store.driver.check()
    except MediaError as error:
        raise Unavailable(Reason.STORAGE_UNAVAILABLE, f"{setting}: {error.message}") from error


@asynccontextmanager
async def server(config: Config, port: int | None = None) -> AsyncIterator[RpcServer]:
    """A gRPC server that takes calls for as long as the context lasts, on the configured port, or
    another; 0 is a free one."""
    try:
        verifier = TokenVerifier(
            secret=config.jwt_secret,
            jwks=config.jwt_jwks,
            issuer=config.jwt_issuer,
            audience=config.jwt_audience,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from None
    open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with base(config) as parts:
        uploads = UploadService(
            parts.database,
            parts.notifier,
            parts.raw,
            parts.finisher,
            parts.acceptance,
            Admission(most_streams(config.max_streams, parts.raw.driver.limits, open_files)),
            expiry=config.upload_expiry,
            timeout=config.stream_timeout,
        )
        reader = MediaReader(parts.database)
        services = Services(
            uploads,
            DownloadService(reader, parts.raw),
            MediaService(parts.database, parts.notifier, reader, config.purge_after),
        )
        tls = (config.tls_cert, config.tls_key) if config.tls_cert and config.tls_key else None
        rpc = RpcServer(
            services,
            verifier,
            address=f"{config.host}:{config.grpc_port if port is None else port}",
            rest_url=config.rest_url,
            stream_timeout=config.stream_timeout,
            tls=tls,
        )
        await rpc.start()
        try:
            yield rpc
        finally:
            stopping = asyncio.create_task(rpc.stop(GRACE_SECONDS))
            await uploads.close()
            await stopping


async def serve(config: Config, ready: Callable[[], None]) -> None:
    """Runs the gRPC server until cancelled."""
    async with server(config):
        ready()
        await asyncio.Event().wait()


async def work(config: Config, ready: Callable[[], None]) -> None:
    """Runs the jobs, and the sweeps that belong to no caller, until cancelled."""
    async with (
        base(config) as parts,
        Inspector(config.max_pixels, config.worker_slots) as inspector,
    ):
        worker = Worker(
            parts.database,
            parts.notifier,
            {
                JobKind.INGEST: IngestHandler(parts.database, parts.notifier, parts.raw, inspector),
                JobKind.FINISH: FinishHandler(parts.finisher),
                JobKind.DISCARD: DiscardHandler(parts.database, parts.raw),
                JobKind.UNLINK: UnlinkHandler(parts.database, parts.raw),
            },
            config.worker_slots,
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(worker.run())
            tasks.create_task(sweep(parts.database, parts.notifier))
            ready()


async def sweep(database: Database, notifier: Notifier) -> None:
    """Ends what rested too long, for ever."""
    while True:
        try:
            expired = await expire_uploads(database, notifier)
            purged = await purge_due(database, notifier)
            if expired or purged:
                log.info("expired %d uploads, purged %d media", expired, purged)
        except Unavailable as error:
            log.warning("sweep put off: %s", error.message)
        await asyncio.sleep(SWEEP_SECONDS)
