"""How both clients connect."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from mediaservice.v1 import (
    access_service_pb2_grpc,
    archive_service_pb2_grpc,
    audit_service_pb2_grpc,
    batch_service_pb2_grpc,
    collection_service_pb2_grpc,
    credentials_service_pb2_grpc,
    download_service_pb2_grpc,
    duplicate_service_pb2_grpc,
    event_service_pb2_grpc,
    job_service_pb2_grpc,
    media_service_pb2_grpc,
    policy_service_pb2_grpc,
    privacy_service_pb2_grpc,
    processing_service_pb2_grpc,
    quota_service_pb2_grpc,
    share_link_service_pb2_grpc,
    upload_service_pb2_grpc,
    webhook_service_pb2_grpc,
)

UNARY_TIMEOUT_SECONDS = 60.0
MESSAGE_LIMIT = 8 << 20  # bytes

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", MESSAGE_LIMIT),
    ("grpc.max_receive_message_length", MESSAGE_LIMIT),
    # A server that restarts is found again soon; the default waits up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # Rarer than every server's default limit allows. It also sets TCP_USER_TIMEOUT, so that a
    # peer that fell silent in the middle of a stream is noticed after 20 s, not after 15 min.
    ("grpc.keepalive_time_ms", 310_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Two clients in one process are two connections.
    ("grpc.use_local_subchannel_pool", 1),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An address, how to trust it, and who calls."""

    address: str
    token: str
    tls: bool
    ca_file: Path | None

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    @property
    def credentials(self) -> grpc.ChannelCredentials | None:
        """None for plain text."""
        if not self.tls and self.ca_file is None:
            return None
        roots = self.ca_file.read_bytes() if self.ca_file else None
        return grpc.ssl_channel_credentials(roots)


def rpcs(channel: Any) -> Mapping[str, Any]:
    """Every RPC of the contract by its name, on a sync or an async channel."""
    return {
        **vars(upload_service_pb2_grpc.UploadServiceStub(channel)),
        **vars(download_service_pb2_grpc.DownloadServiceStub(channel)),
        **vars(archive_service_pb2_grpc.ArchiveServiceStub(channel)),
        **vars(media_service_pb2_grpc.MediaServiceStub(channel)),
        **vars(batch_service_pb2_grpc.BatchServiceStub(channel)),
        **vars(duplicate_service_pb2_grpc.DuplicateServiceStub(channel)),
        **vars(collection_service_pb2_grpc.CollectionServiceStub(channel)),
        **vars(policy_service_pb2_grpc.PolicyServiceStub(channel)),
        **vars(quota_service_pb2_grpc.QuotaServiceStub(channel)),
        **vars(processing_service_pb2_grpc.ProcessingServiceStub(channel)),
        **vars(job_service_pb2_grpc.JobServiceStub(channel)),
        **vars(event_service_pb2_grpc.EventServiceStub(channel)),
        **vars(audit_service_pb2_grpc.AuditServiceStub(channel)),
        **vars(access_service_pb2_grpc.AccessServiceStub(channel)),
        **vars(credentials_service_pb2_grpc.CredentialsServiceStub(channel)),
        **vars(privacy_service_pb2_grpc.PrivacyServiceStub(channel)),
        **vars(share_link_service_pb2_grpc.ShareLinkServiceStub(channel)),
        **vars(webhook_service_pb2_grpc.WebhookServiceStub(channel)),
    }
