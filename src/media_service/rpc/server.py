"""The gRPC server: servicers behind the gate, health, reflection, TLS."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import cast

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from mediaservice.v1 import (
    access_service_pb2,
    access_service_pb2_grpc,
    archive_service_pb2,
    archive_service_pb2_grpc,
    audit_service_pb2,
    audit_service_pb2_grpc,
    batch_service_pb2,
    batch_service_pb2_grpc,
    collection_service_pb2,
    collection_service_pb2_grpc,
    credentials_service_pb2,
    credentials_service_pb2_grpc,
    download_service_pb2,
    download_service_pb2_grpc,
    duplicate_service_pb2,
    duplicate_service_pb2_grpc,
    event_service_pb2,
    event_service_pb2_grpc,
    health_service_pb2,
    health_service_pb2_grpc,
    job_service_pb2,
    job_service_pb2_grpc,
    media_service_pb2,
    media_service_pb2_grpc,
    policy_service_pb2,
    policy_service_pb2_grpc,
    privacy_service_pb2,
    privacy_service_pb2_grpc,
    processing_service_pb2,
    processing_service_pb2_grpc,
    quota_service_pb2,
    quota_service_pb2_grpc,
    share_link_service_pb2,
    share_link_service_pb2_grpc,
    upload_service_pb2,
    upload_service_pb2_grpc,
    watch_service_pb2,
    watch_service_pb2_grpc,
    webhook_service_pb2,
    webhook_service_pb2_grpc,
)

from media_service.access.page_tokens import PageTokens
from media_service.audit.service import AuditService
from media_service.batches.service import BatchService
from media_service.collections.service import CollectionService
from media_service.credentials.service import CredentialsService
from media_service.downloads.archives.service import ArchiveService
from media_service.downloads.playback import PlaybackService
from media_service.downloads.read_links import ReadLinks
from media_service.downloads.revocation import UrlRevocation
from media_service.downloads.service import DownloadService
from media_service.downloads.waiting import Waiting
from media_service.duplicates.service import DuplicateService
from media_service.events.service import EventService
from media_service.jobs.service import JobService
from media_service.media.copying import CopyService
from media_service.media.service import MediaService
from media_service.media.versions.service import VersionService
from media_service.policies.blocklist import Blocklist
from media_service.policies.service import PolicyService
from media_service.privacy.service import PrivacyService
from media_service.quotas.service import QuotaService
from media_service.rates.limiter import RateLimiter
from media_service.renders.service import RenderService
from media_service.renditions.delete import DeletionService
from media_service.renditions.processing import ProcessingService
from media_service.renditions.results import JobResults
from media_service.renditions.standard import StandardRenditions
from media_service.rpc.access_service import AccessServicer
from media_service.rpc.archive_service import ArchiveServicer
from media_service.rpc.audit_record import Audit
from media_service.rpc.audit_service import AuditServicer
from media_service.rpc.authentication import Authenticator
from media_service.rpc.batch_service import BatchServicer
from media_service.rpc.client_addresses import ClientAddresses
from media_service.rpc.collection_service import CollectionServicer
from media_service.rpc.credentials_service import CredentialsServicer
from media_service.rpc.download_service import PUBLIC, PURGED, DownloadServicer
from media_service.rpc.duplicate_service import DuplicateServicer
from media_service.rpc.event_service import EventServicer
from media_service.rpc.gate import Gate
from media_service.rpc.health import HealthReporter, HealthServicer
from media_service.rpc.job_service import JobServicer
from media_service.rpc.media_service import MediaServicer
from media_service.rpc.method_rules import MethodRule, read_rules
from media_service.rpc.open_gate import OpenGate
from media_service.rpc.policy_service import PolicyServicer
from media_service.rpc.privacy_service import PrivacyServicer
from media_service.rpc.processing_service import ProcessingServicer
from media_service.rpc.public_urls import PublicUrls
from media_service.rpc.quota_service import QuotaServicer
from media_service.rpc.readiness import Readiness
from media_service.rpc.reflection import ReflectionServicer
from media_service.rpc.running_calls import RunningCalls
from media_service.rpc.server_options import OPTIONS
from media_service.rpc.share_link_service import ShareLinkServicer
from media_service.rpc.stream_reset import new_task
from media_service.rpc.upload_service import UploadServicer
from media_service.rpc.watch_limiter import WatchLimiter
from media_service.rpc.watch_service import WatchServicer
from media_service.rpc.webhook_service import WebhookServicer
from media_service.search.service import SearchService
from media_service.share_links.opening import LinkOpener
from media_service.share_links.service import ShareLinkService
from media_service.sharing.grants import GrantService
from media_service.sharing.groups import GroupService
from media_service.sharing.organizations import OrganizationService
from media_service.sharing.projects import ProjectService
from media_service.uploads.parts.service import PartService
from media_service.uploads.service import UploadService
from media_service.watches.tickets import WatchTickets
from media_service.webhooks.service import WebhookService

SERVICES = [
    upload_service_pb2.DESCRIPTOR.services_by_name["UploadService"],
    download_service_pb2.DESCRIPTOR.services_by_name["DownloadService"],
    archive_service_pb2.DESCRIPTOR.services_by_name["ArchiveService"],
    media_service_pb2.DESCRIPTOR.services_by_name["MediaService"],
    batch_service_pb2.DESCRIPTOR.services_by_name["BatchService"],
    collection_service_pb2.DESCRIPTOR.services_by_name["CollectionService"],
    duplicate_service_pb2.DESCRIPTOR.services_by_name["DuplicateService"],
    processing_service_pb2.DESCRIPTOR.services_by_name["ProcessingService"],
    job_service_pb2.DESCRIPTOR.services_by_name["JobService"],
    watch_service_pb2.DESCRIPTOR.services_by_name["WatchService"],
    event_service_pb2.DESCRIPTOR.services_by_name["EventService"],
    webhook_service_pb2.DESCRIPTOR.services_by_name["WebhookService"],
    credentials_service_pb2.DESCRIPTOR.services_by_name["CredentialsService"],
    audit_service_pb2.DESCRIPTOR.services_by_name["AuditService"],
    access_service_pb2.DESCRIPTOR.services_by_name["AccessService"],
    quota_service_pb2.DESCRIPTOR.services_by_name["QuotaService"],
    policy_service_pb2.DESCRIPTOR.services_by_name["PolicyService"],
    privacy_service_pb2.DESCRIPTOR.services_by_name["PrivacyService"],
    share_link_service_pb2.DESCRIPTOR.services_by_name["ShareLinkService"],
    health_service_pb2.DESCRIPTOR.services_by_name["HealthService"],
]

# They take no token.
STANDARD_SERVICES = [
    health_pb2.DESCRIPTOR.services_by_name["Health"],
    reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"],
]

# The part of the grace period that is left for telling callers why their calls end.
LAST_SECONDS = 1.0
# Of one caller, in each process.
MAX_WATCHES = 100
WATCH_LIFE = timedelta(hours=1)


@dataclass(frozen=True)
class Services:
    uploads: UploadService
    upload_parts: PartService
    downloads: DownloadService
    archives: ArchiveService
    renders: RenderService
    playback: PlaybackService
    links: ReadLinks
    waiting: Waiting
    media: MediaService
    search: SearchService
    batches: BatchService
    collections: CollectionService
    duplicates: DuplicateService
    deletions: DeletionService
    versions: VersionService
    copies: CopyService
    processing: ProcessingService
    standard_renditions: StandardRenditions
    jobs: JobService
    job_results: JobResults
    watch_tickets: WatchTickets
    credentials: CredentialsService
    audit: AuditService
    organizations: OrganizationService
    projects: ProjectService
    groups: GroupService
    grants: GrantService
    quotas: QuotaService
    policies: PolicyService
    privacy: PrivacyService
    blocklist: Blocklist
    share_links: ShareLinkService
    link_opener: LinkOpener
    url_revocation: UrlRevocation
    events: EventService
    webhooks: WebhookService


@cache
def service_rules() -> Mapping[str, MethodRule]:
    """The rules of all methods of `SERVICES`."""
    return read_rules(SERVICES)


@dataclass(frozen=True)
class ClientTls:
    """Another port, on which clients need a certificate of these authorities."""

    address: str
    authorities: Path


class RpcServer:
    """`address`: "host:port"; port 0 selects a free one, see `port` after `start`. `public_url`:
    the base URL of the public store. `purges_cdn`: whether a CDN is told of changes. `standard`:
    names of renditions that every new media gets."""

    def __init__(
        self,
        services: Services,
        authenticator: Authenticator,
        rates: RateLimiter,
        page_tokens: PageTokens,
        readiness: Readiness,
        audit: Audit,
        addresses: ClientAddresses,
        *,
        address: str,
        rest_url: str,
        public_url: str,
        purges_cdn: bool,
        standard: Collection[str],
        stream_timeout: timedelta,
        tls: tuple[Path, Path] | None = None,
        client_tls: ClientTls | None = None,
    ) -> None:
        names = [service.full_name for service in SERVICES]
        self._readiness = readiness
        self._health = HealthReporter(readiness, names)
        self._background: list[asyncio.Task[None]] = []
        server = grpc.aio.server(options=list(OPTIONS))
        public_urls = PublicUrls(public_url, f"{rest_url}/v1/public")
        watches = WatchLimiter(MAX_WATCHES, WATCH_LIFE)
        self._watches, self._calls = watches, RunningCalls()
        self._waiting = services.waiting
        rules = service_rules()
        gate = cast(
            "grpc.aio.Server",
            Gate(
                server,
                rules,
                authenticator,
                rates,
                services.watch_tickets,
                self._calls,
                audit,
                addresses,
                stream_timeout,
            ),
        )
        upload_service_pb2_grpc.add_UploadServiceServicer_to_server(
            UploadServicer(
                services.uploads,
                services.upload_parts,
                watches,
                page_tokens,
                rest_url,
                public_urls,
                stream_timeout,
            ),
            gate,
        )
        download_service_pb2_grpc.add_DownloadServiceServicer_to_server(
            DownloadServicer(
                services.downloads,
                services.renders,
                services.playback,
                services.links,
                public_urls,
                services.waiting,
                services.url_revocation,
                PURGED if purges_cdn else PUBLIC,
            ),
            gate,
        )
        media_service_pb2_grpc.add_MediaServiceServicer_to_server(
            MediaServicer(
                services.media,
                services.deletions,
                services.versions,
                services.copies,
                services.links,
                page_tokens,
                services.search,
                public_urls,
            ),
            gate,
        )
        batch_service_pb2_grpc.add_BatchServiceServicer_to_server(
            BatchServicer(services.batches, public_urls, standard), gate
        )
        collection_service_pb2_grpc.add_CollectionServiceServicer_to_server(
            CollectionServicer(services.collections, services.links, page_tokens, public_urls), gate
        )
        duplicate_service_pb2_grpc.add_DuplicateServiceServicer_to_server(
            DuplicateServicer(services.duplicates, public_urls), gate
        )
        processing_service_pb2_grpc.add_ProcessingServiceServicer_to_server(
            ProcessingServicer(
                services.processing,
                services.standard_renditions,
                services.job_results,
                public_urls,
                standard,
            ),
            gate,
        )
        job_service_pb2_grpc.add_JobServiceServicer_to_server(
            JobServicer(services.jobs, services.job_results, watches, page_tokens, public_urls),
            gate,
        )
        archive_service_pb2_grpc.add_ArchiveServiceServicer_to_server(
            ArchiveServicer(services.archives, services.downloads), gate
        )
        watch_service_pb2_grpc.add_WatchServiceServicer_to_server(
            WatchServicer(
                services.watch_tickets,
                services.uploads,
                services.jobs,
                services.media,
                services.collections,
            ),
            gate,
        )
        webhook_service_pb2_grpc.add_WebhookServiceServicer_to_server(
            WebhookServicer(services.webhooks, page_tokens), gate
        )
        event_service_pb2_grpc.add_EventServiceServicer_to_server(
            EventServicer(services.events, services.media, services.collections, watches, rest_url),
            gate,
        )
        credentials_service_pb2_grpc.add_CredentialsServiceServicer_to_server(
            CredentialsServicer(
                services.credentials,
                page_tokens,
                {rule.permission for rule in rules.values() if rule.permission},
            ),
            gate,
        )
        audit_service_pb2_grpc.add_AuditServiceServicer_to_server(
            AuditServicer(services.audit), gate
        )
        access_service_pb2_grpc.add_AccessServiceServicer_to_server(
            AccessServicer(
                services.organizations,
                services.projects,
                services.groups,
                services.grants,
                services.media,
                page_tokens,
                public_urls,
            ),
            gate,
        )
        quota_service_pb2_grpc.add_QuotaServiceServicer_to_server(
            QuotaServicer(services.quotas), gate
        )
        policy_service_pb2_grpc.add_PolicyServiceServicer_to_server(
            PolicyServicer(services.policies, services.blocklist, page_tokens, public_urls), gate
        )
        privacy_service_pb2_grpc.add_PrivacyServiceServicer_to_server(
            PrivacyServicer(services.privacy), gate
        )
        share_link_service_pb2_grpc.add_ShareLinkServiceServicer_to_server(
            ShareLinkServicer(services.share_links, services.link_opener, page_tokens), gate
        )
        health_service_pb2_grpc.add_HealthServiceServicer_to_server(HealthServicer(readiness), gate)
        open_gate = cast(
            "grpc.aio.Server",
            OpenGate(server, STANDARD_SERVICES, self._calls, addresses, stream_timeout),
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, open_gate)
        standard_names = [service.full_name for service in STANDARD_SERVICES]
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(
            ReflectionServicer([*names, *standard_names]), open_gate
        )
        if tls:
            pair = (tls[1].read_bytes(), tls[0].read_bytes())
            self.port = server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
            if client_tls:
                roots = client_tls.authorities.read_bytes()
                required = grpc.ssl_server_credentials([pair], roots, require_client_auth=True)
                server.add_secure_port(client_tls.address, required)
        else:
            self.port = server.add_insecure_port(address)
        self._server = server

    async def start(self) -> None:
        asyncio.get_running_loop().set_task_factory(new_task)
        await self._server.start()
        self._background = [
            asyncio.create_task(self._health.run(), name="health"),
            asyncio.create_task(self._calls.reset_unread(), name="unread responses"),
        ]

    async def drain(self, seconds: float) -> None:
        """Reports that the server is not ready, and serves until load balancers have noticed."""
        self._readiness.drain()
        self._health.report()
        await asyncio.sleep(seconds)

    async def stop(self, grace: float) -> None:
        """Refuses new calls, and ends watches and waits. Other running calls have `grace` seconds
        to end. Watches and calls that are ended get SHUTTING_DOWN."""
        self._readiness.drain()
        self._health.report()
        stopping = asyncio.create_task(self._server.stop(grace))
        self._watches.stop()
        self._waiting.stop()
        await asyncio.wait([stopping], timeout=grace - LAST_SECONDS)
        self._calls.end()
        await stopping
        await ended(self._background)


async def ended(tasks: Collection["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
