"""The gRPC server: servicers behind the gate, health, reflection, TLS."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import cast

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2
from mediaservice.v1 import (
    download_service_pb2,
    download_service_pb2_grpc,
    health_service_pb2,
    health_service_pb2_grpc,
    job_service_pb2,
    job_service_pb2_grpc,
    media_service_pb2,
    media_service_pb2_grpc,
    processing_service_pb2,
    processing_service_pb2_grpc,
    upload_service_pb2,
    upload_service_pb2_grpc,
    watch_service_pb2,
    watch_service_pb2_grpc,
)

from media_service.access.access_tokens import TokenVerifier
from media_service.access.page_tokens import PageTokens
from media_service.contract import descriptor_pool
from media_service.downloads.playback import PlaybackService
from media_service.downloads.read_links import ReadLinks
from media_service.downloads.service import DownloadService
from media_service.jobs.service import JobService
from media_service.media.service import MediaService
from media_service.renders.service import RenderService
from media_service.renditions.delete import DeletionService
from media_service.renditions.processing import ProcessingService
from media_service.renditions.results import JobResults
from media_service.renditions.standard import StandardRenditions
from media_service.rpc.download_service import DownloadServicer
from media_service.rpc.gate import Gate
from media_service.rpc.health import HealthReporter, HealthServicer
from media_service.rpc.job_service import JobServicer
from media_service.rpc.media_service import MediaServicer
from media_service.rpc.method_rules import read_rules
from media_service.rpc.processing_service import ProcessingServicer
from media_service.rpc.public_urls import PublicUrls
from media_service.rpc.readiness import Readiness
from media_service.rpc.running_calls import RunningCalls
from media_service.rpc.stream_reset import new_task
from media_service.rpc.upload_service import UploadServicer
from media_service.rpc.watch_limiter import WatchLimiter
from media_service.rpc.watch_service import WatchServicer
from media_service.uploads.parts.service import PartService
from media_service.uploads.service import UploadService
from media_service.watches.tickets import WatchTickets

SERVICES = [
    upload_service_pb2.DESCRIPTOR.services_by_name["UploadService"],
    download_service_pb2.DESCRIPTOR.services_by_name["DownloadService"],
    media_service_pb2.DESCRIPTOR.services_by_name["MediaService"],
    processing_service_pb2.DESCRIPTOR.services_by_name["ProcessingService"],
    job_service_pb2.DESCRIPTOR.services_by_name["JobService"],
    watch_service_pb2.DESCRIPTOR.services_by_name["WatchService"],
    health_service_pb2.DESCRIPTOR.services_by_name["HealthService"],
]

# The part of the grace period that is left for telling callers why their calls end.
LAST_SECONDS = 1.0
# Of one caller, in each process.
MAX_WATCHES = 100
WATCH_LIFE = timedelta(hours=1)
# 2 MiB of data and its framing.
MAX_MESSAGE = 3 << 20
OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    # Without the probe, a slow stream buffers kilobytes instead of megabytes. This lookahead lets a
    # fast one continue to send while Python handles the previous message.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 524288),
    # What a stream may buffer, besides the message that is being sent.
    ("grpc.http2.write_buffer_size", 16384),
    # Of one connection. Envoy opens more connections. Streams above it, such as a series of resets,
    # are refused before a handler runs.
    ("grpc.max_concurrent_streams", 256),
    # A burst of calls waits instead of being rejected at random.
    ("grpc.server.max_pending_requests", 20000),
    ("grpc.server.max_pending_requests_hard_limit", 20000),
    # In seconds. With the default of 30, some calls of a burst ended as CANCELLED.
    ("grpc.server_max_unrequested_time_in_server", 600),
    # Of REST, Envoy admits 16 KiB of headers. It adds some, and each counts 32 bytes more.
    ("grpc.max_metadata_size", 24 << 10),
    ("grpc.absolute_max_metadata_size", 24 << 10),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10000),
    # Otherwise a second server on the same port would receive half of the calls.
    ("grpc.so_reuseport", 0),
)


@dataclass(frozen=True)
class Services:
    uploads: UploadService
    upload_parts: PartService
    downloads: DownloadService
    renders: RenderService
    playback: PlaybackService
    links: ReadLinks
    media: MediaService
    deletions: DeletionService
    processing: ProcessingService
    standard_renditions: StandardRenditions
    jobs: JobService
    job_results: JobResults
    watch_tickets: WatchTickets


class RpcServer:
    """`address`: "host:port"; port 0 selects a free one, see `port` after `start`. `public_url`:
    the base URL of the public store. `standard`: names of renditions that every new media gets."""

    def __init__(
        self,
        services: Services,
        verifier: TokenVerifier,
        page_tokens: PageTokens,
        readiness: Readiness,
        *,
        address: str,
        rest_url: str,
        public_url: str,
        standard: Collection[str],
        stream_timeout: timedelta,
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        names = [service.full_name for service in SERVICES]
        self._readiness = readiness
        self._health = HealthReporter(readiness, names)
        self._reporting: asyncio.Task[None] | None = None
        server = grpc.aio.server(options=list(OPTIONS))
        public_urls = PublicUrls(public_url, f"{rest_url}/v1/public")
        watches = WatchLimiter(MAX_WATCHES, WATCH_LIFE)
        self._watches, self._calls = watches, RunningCalls()
        gate = cast(
            "grpc.aio.Server",
            Gate(
                server,
                read_rules(SERVICES),
                verifier,
                services.watch_tickets,
                self._calls,
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
                services.downloads, services.renders, services.playback, services.links, public_urls
            ),
            gate,
        )
        media_service_pb2_grpc.add_MediaServiceServicer_to_server(
            MediaServicer(services.media, services.deletions, services.links, public_urls), gate
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
        watch_service_pb2_grpc.add_WatchServiceServicer_to_server(
            WatchServicer(services.watch_tickets, services.uploads, services.jobs), gate
        )
        health_service_pb2_grpc.add_HealthServiceServicer_to_server(HealthServicer(readiness), gate)
        self._health.add_to(server)
        reflection.enable_server_reflection(
            [*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server, reflected()
        )
        if tls:
            pair = (tls[1].read_bytes(), tls[0].read_bytes())
            self.port = server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
        else:
            self.port = server.add_insecure_port(address)
        self._server = server

    async def start(self) -> None:
        asyncio.get_running_loop().set_task_factory(new_task)
        await self._server.start()
        self._reporting = asyncio.create_task(self._health.run(), name="health")

    async def drain(self, seconds: float) -> None:
        """Reports that the server is not ready, and serves until load balancers have noticed."""
        self._readiness.drain()
        await self._health.report()
        await asyncio.sleep(seconds)

    async def stop(self, grace: float) -> None:
        """Refuses new calls, and ends watches. Other running calls have `grace` seconds to end.
        Whatever is ended gets SHUTTING_DOWN."""
        self._readiness.drain()
        await self._health.report()
        stopping = asyncio.create_task(self._server.stop(grace))
        self._watches.stop()
        await asyncio.wait([stopping], timeout=grace - LAST_SECONDS)
        self._calls.end()
        await stopping
        if self._reporting is not None:
            self._reporting.cancel()
            await asyncio.wait([self._reporting])


@cache
def reflected() -> DescriptorPool:
    """The descriptors for reflection: the contract with its field rules, and standard services."""
    pool = descriptor_pool()
    for module in (health_pb2, reflection_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    return pool
