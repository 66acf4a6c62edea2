"""The composition root: builds the objects from each other, and starts and stops them in order."""

import asyncio
import logging
import os
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from ipaddress import ip_network

from media_service.access.access_tokens import TokenVerifier
from media_service.access.link_signer import LinkSigner, key_from
from media_service.access.page_tokens import PageTokens
from media_service.access.report_signer import ReportSigner
from media_service.audit.service import AuditService
from media_service.audit.writer import AuditWriter
from media_service.batches.service import BatchService
from media_service.blobs.model import PUBLIC, RAW
from media_service.blobs.store_markers import adopt, identify
from media_service.cache.cache import Cache
from media_service.cache.sink import CacheSink
from media_service.cdn.sink import CdnSink
from media_service.codecs.av_renderer import AvRenderer
from media_service.codecs.document.office import installed
from media_service.codecs.document_renderer import DocumentRenderer
from media_service.codecs.image_renderer import ON_DEMAND_MAX_PIXELS, ImageRenderer
from media_service.codecs.inspector import Inspector
from media_service.codecs.limits import ON_DEMAND_LIMITS
from media_service.codecs.sandbox.forks import ForkServer
from media_service.collections.service import CollectionService
from media_service.config import NOTIFY, OFF, STRICT, Config, ConfigError
from media_service.credentials.last_use import LastUse
from media_service.credentials.service import CredentialsService
from media_service.credentials.verifier import KeyVerifier
from media_service.db.audit_entry import Category
from media_service.db.database import Database
from media_service.downloads.archives.service import ArchiveService
from media_service.downloads.playback import PlaybackService
from media_service.downloads.read_links import ReadLinks
from media_service.downloads.revocation import UrlRevocation
from media_service.downloads.service import DownloadService
from media_service.downloads.waiting import Waiting
from media_service.duplicates.service import DuplicateService
from media_service.errors import MediaError, Reason, Unavailable
from media_service.events import queries as events
from media_service.events.addresses import Addresses
from media_service.events.model import Cursor
from media_service.events.relay import Relay
from media_service.events.service import EventService
from media_service.events.sink import Sink
from media_service.events.sinks import open_sinks
from media_service.events.status import Status
from media_service.jobs.handler import find_handlers
from media_service.jobs.looks import Looks, NotifiedLooks
from media_service.jobs.model import JobKind
from media_service.jobs.periodic import find_periodic_tasks, run_periodically
from media_service.jobs.service import JobService
from media_service.jobs.worker import Worker
from media_service.media.allowed_types import AllowedTypes
from media_service.media.cached_renditions import CachedRenditions
from media_service.media.content import Use
from media_service.media.copying import CopyService
from media_service.media.model import Kind
from media_service.media.reader import MediaReader, PublicReader
from media_service.media.service import MediaService
from media_service.media.usage import UsageCounter
from media_service.media.versions.reader import VersionReader
from media_service.media.versions.service import VersionService
from media_service.policies.blocklist import Blocklist
from media_service.policies.service import PolicyService
from media_service.privacy.service import PrivacyService
from media_service.quotas.service import QuotaService
from media_service.rates.drivers.memory import MemoryRates
from media_service.rates.fallback import FallbackRates
from media_service.rates.limiter import RateLimiter
from media_service.rates.model import Limit
from media_service.reconcile.service import Reconciler
from media_service.renders.cache import RenderCache
from media_service.renders.service import RenderService
from media_service.renders.slots import child_processes
from media_service.renditions.delete import DeletionService
from media_service.renditions.foreign_kind import check_foreign
from media_service.renditions.forthcoming import Forthcoming
from media_service.renditions.handlers.chunk import ChunkHandler
from media_service.renditions.local_copies import LocalCopies
from media_service.renditions.original_files import OriginalFiles
from media_service.renditions.presets import Presets
from media_service.renditions.processing import ProcessingService
from media_service.renditions.renderers import Renderers
from media_service.renditions.rendition_store import RenditionStore
from media_service.renditions.results import JobResults
from media_service.renditions.standard import StandardRenditions
from media_service.renditions.streams.comparison import StreamComparison
from media_service.renditions.streams.packager import StreamPackager
from media_service.renditions.streams.segments import Segments
from media_service.renditions.thumbnails import ThumbnailRenderer
from media_service.rpc.audit_record import Audit
from media_service.rpc.authentication import Authenticator
from media_service.rpc.client_addresses import ClientAddresses
from media_service.rpc.client_certificates import ClientCertificates
from media_service.rpc.health import health_server
from media_service.rpc.readiness import Readiness
from media_service.rpc.server import ClientTls, RpcServer, Services
from media_service.scanning.engine import UnsafeEngine
from media_service.scanning.engines import open_engine
from media_service.scanning.policy import ScanPolicy, policy_from
from media_service.scanning.rescans import wake_scans
from media_service.scanning.scanner import Scanner, nothing
from media_service.search.service import SearchService
from media_service.share_links.opening import LinkOpener
from media_service.share_links.passwords import Passwords
from media_service.share_links.service import ShareLinkService
from media_service.share_links.sessions import LinkSessions
from media_service.sharing.creation import Creation
from media_service.sharing.grants import GrantService
from media_service.sharing.groups import GroupService
from media_service.sharing.organizations import OrganizationService
from media_service.sharing.projects import ProjectService
from media_service.storage.blob_store import BlobStore, open_store
from media_service.storage.marked_driver import MarkedDriver
from media_service.uploads.acceptance import Acceptance
from media_service.uploads.admission import Admission, most_streams
from media_service.uploads.finish import Finisher
from media_service.uploads.load import UploadLoad
from media_service.uploads.parts.collect import Collector
from media_service.uploads.parts.service import PartService
from media_service.uploads.results import ResultReceiver
from media_service.uploads.service import UploadService
from media_service.uploads.stream_runner import StreamRunner
from media_service.watches.tickets import WatchTickets
from media_service.webhooks.addresses import Destinations
from media_service.webhooks.resealing import keep_sealed
from media_service.webhooks.secrets import SecretBox
from media_service.webhooks.service import WebhookService
from media_service.webhooks.sink import WebhookSink

log = logging.getLogger(__name__)

GRACE_SECONDS = 10
# Memory of all images that a worker process renders at once. Others wait.
WORKER_RENDER_BYTES = 2 << 30
# Memory of all images that a server process renders at once.
RENDER_BYTES = 2 << 30

# Opens a store, given its name and URL.
Opener = Callable[[str, str], BlobStore]
# Opens the fork server of child processes.
Forks = AbstractAsyncContextManager[ForkServer]


@dataclass(frozen=True)
class Base:
    """What servers and workers share."""

    database: Database
    # For receiving bytes, which takes many statements. Other calls need not wait for them.
    receiving: Database
    raw: BlobStore
    public: BlobStore
    acceptance: Acceptance
    finisher: Finisher
    looks: Looks

    @property
    def stores(self) -> Mapping[str, BlobStore]:
        return {store.name: store for store in (self.raw, self.public)}


@asynccontextmanager
async def base(config: Config, opener: Opener = open_store) -> AsyncIterator[Base]:
    acceptance = Acceptance(
        config.max_upload_size,
        config.max_pixels,
        AllowedTypes(config.allowed_types),
        strict=config.declared_types == STRICT,
    )
    async with (
        store(RAW, config.raw_url, opener) as raw,
        store(PUBLIC, config.public_store_url, opener) as public,
    ):
        if raw.driver.overlaps(public.driver):
            raise ConfigError(
                f"{setting(PUBLIC)} must be another place than {setting(RAW)}, and neither may lie"
                " in the other: what is public is open to everybody"
            )
        await check(raw)
        await check(public)
        async with (
            Database(
                config.database_url,
                config.database_pool_size,
                config.database_timeout.total_seconds(),
            ) as database,
            job_looks(config, database) as looks,
        ):
            stores = [await in_place(database, opened) for opened in (raw, public)]
            receiving = database.share(config.database_pool_size // 2)
            finisher = Finisher(receiving, stores[0], acceptance, policy_from(config).new_scan)
            yield Base(database, receiving, stores[0], stores[1], acceptance, finisher, looks)


@asynccontextmanager
async def job_looks(config: Config, database: Database) -> AsyncIterator[Looks]:
    """What tells workers to look for jobs. In the context, this process tells them so."""
    if config.jobs_transport == NOTIFY:
        yield NotifiedLooks(database)
        return
    from media_service.jobs.rabbitmq_looks import (  # noqa: PLC0415 - only where it is used
        RabbitLooks,
    )
    from media_service.rabbitmq.broker import Refused  # noqa: PLC0415

    async with AsyncExitStack() as stack:
        try:
            looks = await stack.enter_async_context(RabbitLooks(database, config.rabbitmq_url))
        except ValueError as error:
            raise ConfigError(f"MEDIA_RABBITMQ_URL must be {error}") from None
        except Refused as error:
            raise ConfigError(str(error)) from None
        with looks.sending():
            yield looks


async def in_place(database: Database, opened: BlobStore) -> BlobStore:
    """The store, which is used only while it is the one that the database knows. Raises Unavailable
    if it is another one. As long as the database is not migrated, that is not known."""

    async def marker() -> str:
        try:
            return await identify(database, opened)
        except Unavailable as error:
            if error.reason is not Reason.STORAGE_UNAVAILABLE:
                raise
            what = f"{setting(opened.name)}: {error.message}"
            raise Unavailable(Reason.STORAGE_UNAVAILABLE, what) from error

    marked = MarkedDriver(opened.driver, marker)
    try:
        await marked.identified()
    except Unavailable as error:
        if error.reason is not Reason.SCHEMA_OUTDATED:
            raise
    return BlobStore(opened.name, marked)


async def adopt_store(config: Config, name: str) -> str:
    """Makes the database expect the store RAW or PUBLIC as it is now. Returns its marker."""
    url = {RAW: config.raw_url, PUBLIC: config.public_store_url}[name]
    async with store(name, url, open_store) as opened:
        await check(opened)
        async with Database(config.database_url, 1) as database:
            return await adopt(database, opened)


def setting(name: str) -> str:
    """The setting that selects a store."""
    return f"MEDIA_STORAGE_{name.upper()}_URL"


@asynccontextmanager
async def store(name: str, url: str, opener: Opener) -> AsyncIterator[BlobStore]:
    """Opens a store for the context, without checking it."""
    try:
        opened = opener(name, url)
    except ValueError as error:
        raise ConfigError(f"{setting(name)} must be {error}") from None
    try:
        yield opened
    finally:
        await opened.driver.close()


async def check(opened: BlobStore) -> None:
    """Raises Unavailable, which names the setting, unless the store is readable and writable."""
    try:
        await opened.driver.check()
    except MediaError as error:
        what = f"{setting(opened.name)}: {error.message}"
        raise Unavailable(Reason.STORAGE_UNAVAILABLE, what) from error


@asynccontextmanager
async def scan_engine(
    config: Config, returned: Callable[[], Awaitable[None]] = nothing, *, probes: bool = True
) -> AsyncIterator[Scanner | None]:
    """The scanner of the context, or None if the service does not scan. See `Scanner`."""
    if config.scan == OFF:
        yield None
        return
    async with AsyncExitStack() as stack:
        try:
            engine = open_engine(config.scan_address)
            scanner = await stack.enter_async_context(Scanner(engine, returned, probes=probes))
        except ValueError as error:
            raise ConfigError(f"MEDIA_SCAN_ADDRESS must be {error}") from None
        except UnsafeEngine as error:
            raise ConfigError(f"MEDIA_SCAN_ADDRESS: {error}") from None
        yield scanner


def readiness_of(
    parts: Base, scanner: Scanner | None, rates: RateLimiter | None = None
) -> Readiness:
    optional = {
        Reason.RATE_STORE_UNAVAILABLE: lambda: rates is None or rates.shared(),
        Reason.SCAN_UNAVAILABLE: lambda: scanner is None or scanner.available,
        Reason.BROKER_UNAVAILABLE: lambda: parts.looks.up,
    }
    stores = [partial(check, store) for store in parts.stores.values()]
    return Readiness(parts.database, stores, optional)


def health_of_worker(config: Config, readiness: Readiness) -> AbstractAsyncContextManager[None]:
    """Answers health checks if there is a port for them."""
    if config.worker_health_port is None:
        return nullcontext()
    return health_server(readiness, f"{config.host}:{config.worker_health_port}")


def link_keys(config: Config) -> Sequence[str]:
    """The keys of links and page tokens: the configured ones, or one derived from the secret of
    access tokens."""
    if not config.link_keys and config.jwt_secret:
        return (key_from(config.jwt_secret),)
    return config.link_keys


def webhook_keys(config: Config) -> Sequence[str]:
    """The keys of secrets of webhooks: the configured ones, and those that encrypted them before
    there were any."""
    return (*config.webhook_keys, *link_keys(config))


@asynccontextmanager
async def webhook_secrets(config: Config, database: Database) -> AsyncIterator[SecretBox]:
    """Encrypts secrets of webhooks, in the context also those that have another key."""
    box = SecretBox(webhook_keys(config))
    sealing = asyncio.create_task(keep_sealed(database, box), name="secrets of webhooks")
    try:
        yield box
    finally:
        sealing.cancel()
        await asyncio.wait([sealing])


def link_signer(keys: Sequence[str]) -> LinkSigner:
    try:
        return LinkSigner(keys)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def client_tls(config: Config) -> ClientTls | None:
    if config.tls_client_port is None or config.tls_client_ca is None:
        return None
    return ClientTls(f"{config.host}:{config.tls_client_port}", config.tls_client_ca)


def presets(config: Config) -> Presets:
    """The pipelines of every new media, by kind."""
    texts = {
        Kind.VIDEO: config.video_presets,
        Kind.AUDIO: config.audio_presets,
        Kind.DOCUMENT: config.document_presets,
    }
    for kind, found in texts.items():
        try:
            Presets({kind: found})
        except (MediaError, ValueError) as error:
            raise ConfigError(f"MEDIA_{kind}_PRESETS: {error}") from None
    return Presets(texts, foreign=foreign_operations(config))


def foreign_operations(config: Config) -> Collection[str]:
    """The operations that foreign workers do."""
    try:
        check_foreign(config.foreign_operations)
    except ValueError as error:
        raise ConfigError(f"MEDIA_FOREIGN_OPERATIONS must be {error}") from None
    return config.foreign_operations


def standard_renditions(config: Config) -> Mapping[Kind, Collection[str]]:
    """The names of the renditions that new media of each kind may get."""
    found = presets(config)
    return {kind: found.expected(kind) for kind in Kind} | {Kind.IMAGE: config.thumbnails}


def count(usage: UsageCounter, media_id: str, category: Category) -> None:
    usage.add(media_id, Use(category))


def render_children(config: Config) -> int:
    """How many images a server process renders at once."""
    return config.render_children or len(os.sched_getaffinity(0))


@asynccontextmanager
async def renders(config: Config, parts: Base, forks: Forks | None) -> AsyncIterator[RenderService]:
    """Renders images while requests wait, and caches them."""
    children = render_children(config)
    cache = RenderCache(parts.database, parts.raw)
    async with (
        forks or ForkServer() as fork_server,
        ImageRenderer(
            fork_server,
            child_processes(children),
            config.max_pixels,
            RENDER_BYTES,
            limits=ON_DEMAND_LIMITS,
            max_output_pixels=ON_DEMAND_MAX_PIXELS,
        ) as renderer,
    ):
        reader = MediaReader(parts.database, bare=True)
        service = RenderService(
            reader, renderer, cache, VersionReader(parts.database), parts.stores, children
        )
        try:
            yield service
        finally:
            await service.close()
            await cache.close()


@asynccontextmanager
async def rate_limiter(config: Config) -> AsyncIterator[RateLimiter]:
    caller = Limit("caller", config.rate_caller)
    address = Limit("address", config.rate_address)
    if not config.rate_store:
        yield RateLimiter(MemoryRates(), caller, address)
        return
    from media_service.rates.drivers.valkey import (  # noqa: PLC0415 - its library takes 5 MB
        ValkeyRates,
    )

    try:
        shared = ValkeyRates(config.rate_store)
    except ValueError as error:
        raise ConfigError(f"MEDIA_RATE_STORE: {error}") from None
    async with FallbackRates(shared, MemoryRates()) as store:
        yield RateLimiter(store, caller, address, lambda: store.works)


@asynccontextmanager
async def server(
    config: Config,
    port: int | None = None,
    opener: Opener = open_store,
    forks: Forks | None = None,
    *,
    drain_seconds: float = 0,
) -> AsyncIterator[RpcServer]:
    """Runs a gRPC server for the context. `port` replaces the configured one; 0: a free one. See
    `RpcServer.drain`."""
    try:
        verifier = TokenVerifier(
            secret=config.jwt_secret,
            jwks=config.jwt_jwks,
            issuer=config.jwt_issuer,
            audience=config.jwt_audience,
            others=config.jwt_issuers,
            admin_claim=config.admin_claim,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from None
    keys = link_keys(config)
    signer, page_tokens = link_signer(keys), PageTokens(keys)
    open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with (
        base(config, opener) as parts,
        renders(config, parts, forks) as rendering,
        UsageCounter(parts.database) as usage,
        LastUse(parts.database) as last_use,
        AuditWriter(parts.database, partial(count, usage)) as audit,
        UploadLoad() as load,
        rate_limiter(config) as rates,
        scan_engine(config, probes=False) as scanner,
        readiness_of(parts, scanner, rates) as readiness,
        webhook_secrets(config, parts.database) as webhook_box,
        cached_renditions(config, parts.database) as cached,
    ):
        most = most_streams(config.max_streams, parts.raw.driver.limits, open_files)
        admission = Admission(most, load)
        runner = StreamRunner(admission)
        collector = Collector(parts.receiving, parts.raw, parts.acceptance, config.upload_expiry)
        creation = Creation(parts.database)
        projects = ProjectService(parts.database, creation)
        uploads = UploadService(
            parts.database,
            parts.receiving,
            creation,
            parts.raw,
            parts.finisher,
            parts.acceptance,
            collector,
            runner,
            load,
            max_open=config.max_open_uploads,
            expiry=config.upload_expiry,
            timeout=config.stream_timeout,
        )
        upload_parts = PartService(
            parts.database,
            parts.receiving,
            parts.raw,
            parts.acceptance,
            collector,
            runner,
            signer,
            ResultReceiver(
                parts.database,
                parts.raw,
                signer,
                runner,
                max_size=config.max_upload_size,
                timeout=config.stream_timeout,
            ),
            rest_url=config.rest_url,
            timeout=config.stream_timeout,
        )
        sessions, passwords = LinkSessions(signer), Passwords()
        reader = MediaReader(parts.database, cached=cached)
        forthcoming = Forthcoming(parts.database, standard_renditions(config))
        versions = VersionReader(parts.database)
        downloads = DownloadService(
            reader, PublicReader(parts.database), forthcoming, versions, parts.stores
        )
        playback = PlaybackService(
            parts.database, MediaReader(parts.database, bare=True), forthcoming
        )
        media = MediaService(parts.database, reader, page_tokens, config.purge_after)
        collections = CollectionService(parts.database, creation, page_tokens)
        archives = ArchiveService(
            parts.database,
            media,
            downloads,
            collections,
            parts.stores,
            signer,
            config.rest_url,
            audit.add,
        )
        services = Services(
            uploads,
            upload_parts,
            downloads,
            archives,
            rendering,
            playback,
            ReadLinks(reader, downloads, rendering, playback, versions, signer, config.rest_url),
            Waiting(parts.database),
            media,
            SearchService(parts.database, page_tokens),
            BatchService(parts.database, config.purge_after, foreign_operations(config)),
            collections,
            DuplicateService(parts.database, page_tokens, config.purge_after),
            DeletionService(parts.database),
            VersionService(parts.database, policy_from(config).new_scan),
            CopyService(parts.database, policy_from(config).new_scan),
            ProcessingService(parts.database, foreign_operations(config)),
            StandardRenditions(parts.database),
            JobService(parts.database),
            JobResults(parts.database, reader),
            WatchTickets(parts.database),
            CredentialsService(parts.database),
            AuditService(
                parts.database, MediaReader(parts.database, bare=True), projects, page_tokens
            ),
            OrganizationService(parts.database),
            projects,
            GroupService(parts.database),
            GrantService(parts.database),
            QuotaService(parts.database),
            PolicyService(parts.database),
            PrivacyService(parts.database, ReportSigner(keys[0])),
            Blocklist(parts.database),
            ShareLinkService(parts.database, passwords),
            LinkOpener(parts.database, sessions, passwords),
            UrlRevocation(parts.database),
            EventService(parts.database),
            WebhookService(
                parts.database,
                webhook_box,
                Destinations(config.webhooks_private),
                config.rest_url,
            ),
        )
        certificates = ClientCertificates(config.client_certificates, config.certificate_proxies)
        tls = (config.tls_cert, config.tls_key) if config.tls_cert and config.tls_key else None
        rpc = RpcServer(
            services,
            Authenticator(verifier, KeyVerifier(parts.database, last_use), sessions, certificates),
            rates,
            page_tokens,
            readiness,
            Audit(audit),
            # From the address that the server listens on, only this machine can connect.
            ClientAddresses([*config.envoy_addresses, ip_network(config.host)]),
            address=f"{config.host}:{config.grpc_port if port is None else port}",
            rest_url=config.rest_url,
            public_url=config.public_base_url,
            purges_cdn=bool(config.cdn_purge),
            standard=[*config.thumbnails, *presets(config).names],
            stream_timeout=config.stream_timeout,
            tls=tls,
            client_tls=client_tls(config),
        )
        await rpc.start()
        try:
            yield rpc
        finally:
            await rpc.drain(drain_seconds)
            stopping = asyncio.create_task(rpc.stop(GRACE_SECONDS))
            await runner.close()
            await stopping


async def serve(config: Config, ready: Callable[[], None]) -> None:
    """Runs the gRPC server until cancelled."""
    async with server(config, drain_seconds=config.drain_seconds):
        ready()
        await asyncio.Event().wait()


@dataclass(frozen=True)
class WorkerResources:
    """What handlers of jobs and periodic tasks may ask for, by the names of their parameters.
    `skipped`: kinds of jobs that other workers run."""

    database: Database
    raw: BlobStore
    stores: Mapping[str, BlobStore]
    finisher: Finisher
    inspector: Inspector
    renditions: RenditionStore
    thumbnails: ThumbnailRenderer
    presets: Presets
    files: OriginalFiles
    renderers: Renderers
    segments: Segments
    streams: StreamPackager
    encode_threads: int
    allowed_types: AllowedTypes
    skipped: frozenset[JobKind]
    scanner: Scanner | None
    scan_policy: ScanPolicy
    purge_after: timedelta
    keep_events: timedelta
    keep_ended_uploads: timedelta
    keep_audit: timedelta
    keep_audit_addresses: timedelta


@asynccontextmanager
async def worker_resources(
    config: Config, parts: Base, forks: Forks | None = None, scanner: Scanner | None = None
) -> AsyncIterator[WorkerResources]:
    slots, max_pixels = config.worker_slots, config.max_pixels
    async with (
        forks or ForkServer() as fork_server,
        Inspector(fork_server, max_pixels, slots) as inspector,
        ImageRenderer(fork_server, slots, max_pixels, WORKER_RENDER_BYTES) as renderer,
        DocumentRenderer(fork_server, slots, installed()) as documents,
        LocalCopies() as copies,
    ):
        renditions = RenditionStore(parts.database, parts.stores)
        files = OriginalFiles(parts.stores, copies, inspector)
        segments = Segments(parts.database, parts.raw)
        chunks = ChunkHandler(parts.database, files, segments, config.encode_threads)
        comparison = StreamComparison(parts.database, parts.raw, inspector)
        profiles = config.video_profiles
        skipped = skipped_kinds(config, scanner)
        yield WorkerResources(
            parts.database,
            parts.raw,
            parts.stores,
            parts.finisher,
            inspector,
            renditions,
            ThumbnailRenderer(renderer, config.thumbnails),
            presets(config),
            files,
            Renderers(renderer, AvRenderer(renderer, inspector, profiles), documents),
            segments,
            StreamPackager(
                parts.database, renditions, segments, chunks, comparison, profiles, skipped
            ),
            config.encode_threads,
            parts.acceptance.types,
            skipped,
            scanner,
            policy_from(config),
            config.purge_after,
            config.keep_events,
            config.keep_ended_uploads,
            config.keep_audit,
            config.keep_audit_addresses,
        )


@asynccontextmanager
async def cached_renditions(
    config: Config, database: Database
) -> AsyncIterator[CachedRenditions | None]:
    """None without a cache."""
    if not config.cache_redis:
        yield None
        return
    cache = open_cache(config)
    try:
        yield CachedRenditions(database, cache)
    finally:
        await cache.close()


def open_cache(config: Config) -> Cache:
    from media_service.cache.redis import RedisCache  # noqa: PLC0415 - redis takes memory

    try:
        return RedisCache(config.cache_redis)
    except ValueError as error:
        raise ConfigError(f"MEDIA_CACHE_REDIS: {error}") from None


@asynccontextmanager
async def event_sinks(config: Config) -> AsyncIterator[Sequence[Sink]]:
    try:
        sinks = open_sinks(config.event_sinks, Addresses(config.rest_url))
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if config.cdn_purge:
        from media_service.cdn.drivers import open_purger  # noqa: PLC0415 - aiohttp takes memory

        try:
            sinks.append(CdnSink(open_purger(config.cdn_purge, config.cdn_token)))
        except ValueError as error:
            raise ConfigError(f"MEDIA_CDN_PURGE must be {error}") from None
    if config.cache_redis:
        sinks.append(CacheSink(open_cache(config)))
    try:
        yield sinks
    finally:
        for sink in sinks:
            await sink.close()


def skipped_kinds(config: Config, scanner: Scanner | None) -> frozenset[JobKind]:
    """The kinds of jobs that this worker leaves to others."""
    kinds = set()
    if scanner is None:
        kinds.add(JobKind.SCAN)
    if config.foreign_operations:
        kinds.add(JobKind.FOREIGN)
    return frozenset(kinds)


@asynccontextmanager
async def foreign_workers(
    config: Config, parts: Base, resources: WorkerResources, ready: Callable[[], bool]
) -> AsyncIterator[None]:
    """Gives jobs to foreign workers, in the context, if there are any."""
    if not config.foreign_operations:
        yield
        return
    from media_service.foreign.dispatcher import Dispatcher  # noqa: PLC0415 - only where it is used
    from media_service.foreign.results import ForeignResults  # noqa: PLC0415
    from media_service.rabbitmq.broker import Refused  # noqa: PLC0415

    results = ForeignResults(
        parts.database,
        parts.raw,
        resources.renditions,
        resources.inspector,
        parts.acceptance,
        resources.thumbnails,
        resources.scanner,
    )
    signer = link_signer(link_keys(config))
    async with AsyncExitStack() as stack:
        try:
            dispatcher = Dispatcher(
                parts.database, config.rabbitmq_url, signer, config.rest_url, results, ready
            )
            await stack.enter_async_context(dispatcher)
        except ValueError as error:
            raise ConfigError(f"MEDIA_RABBITMQ_URL must be {error}") from None
        except Refused as error:
            raise ConfigError(str(error)) from None
        yield


@asynccontextmanager
async def webhooks(config: Config, database: Database) -> AsyncIterator[None]:
    """Sends what is due to webhooks, in the context. A worker without the keys that secrets are
    encrypted with leaves it to the others."""
    if not (keys := webhook_keys(config)):
        log.info("without MEDIA_WEBHOOK_KEYS, this worker sends nothing to webhooks")
        yield
        return
    from media_service.webhooks.deliverer import Deliverer  # noqa: PLC0415 - aiohttp takes memory
    from media_service.webhooks.sender import Sender  # noqa: PLC0415

    async with Sender(Destinations(config.webhooks_private)) as sender:
        deliverer = Deliverer(database, sender, SecretBox(keys))
        delivering = asyncio.create_task(deliverer.run(), name="webhooks")
        try:
            yield
        finally:
            delivering.cancel()
            await asyncio.wait([delivering])


async def work(
    config: Config,
    ready: Callable[[], None],
    opener: Opener = open_store,
    forks: Forks | None = None,
) -> None:
    """Runs jobs and periodic tasks until cancelled."""
    async with (
        base(config, opener) as shared,
        scan_engine(config, partial(wake_scans, shared.database)) as scanner,
        worker_resources(config, shared, forks, scanner) as resources,
        readiness_of(shared, scanner) as readiness,
        health_of_worker(config, readiness),
        event_sinks(config) as sinks,
    ):
        worker = Worker(
            shared.database,
            find_handlers(resources, resources.skipped),
            config.worker_slots,
            ready=lambda: not readiness.reasons,
            skipped=resources.skipped,
            looks=shared.looks,
        )
        async with (
            foreign_workers(config, shared, resources, lambda: not readiness.reasons),
            webhooks(config, shared.database),
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(worker.run())
            tasks.create_task(run_periodically(find_periodic_tasks(), resources))
            of_webhooks = WebhookSink(shared.database, config.rest_url)
            relay = Relay(shared.database, [*sinks, of_webhooks])
            tasks.create_task(relay.run(), name="events")
            ready()


@asynccontextmanager
async def reconciler(config: Config, older_than: timedelta) -> AsyncIterator[Reconciler]:
    """Compares rows with bytes."""
    async with base(config) as parts:
        yield Reconciler(parts.database, parts.stores, older_than)


async def event_status(config: Config) -> Status:
    """What waits for the relay and the sinks."""
    async with Database(config.database_url, 2) as database, database.connection() as db:
        return await events.status(db)


async def new_event_epoch(config: Config) -> Cursor:
    """Makes the cursors invalid that consumers have."""
    async with Database(config.database_url, 2) as database, database.connection() as db:
        return await events.new_epoch(db)
