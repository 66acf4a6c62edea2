"""The Python client.

    from media_service_client import Client

    with Client("127.0.0.1:50051", token=token) as client:
        media = client.upload("holiday.mp4")
        client.download(media.media_id, "copy.mp4")

`AsyncClient` has the same methods as coroutines.
"""

from mediaservice.v1.access_service_pb2 import Access, Grant, Group, Organization, Project
from mediaservice.v1.audit_pb2 import AuditEntry
from mediaservice.v1.audit_service_pb2 import Analytics
from mediaservice.v1.batch_service_pb2 import BatchResult
from mediaservice.v1.collection_service_pb2 import Collection
from mediaservice.v1.credentials_service_pb2 import ApiKey, ServiceAccount
from mediaservice.v1.job_pb2 import Job
from mediaservice.v1.media_pb2 import Media, MediaVersion, Owner
from mediaservice.v1.policy_service_pb2 import BlockedFile, Policy, PolicyPreset, ResourcePolicy
from mediaservice.v1.privacy_service_pb2 import Erasure
from mediaservice.v1.processing_service_pb2 import OperationInfo
from mediaservice.v1.quota_service_pb2 import Quota, QuotaLimit, QuotaMeasure, Usage, UsageAmount
from mediaservice.v1.share_link_service_pb2 import ShareLink
from mediaservice.v1.upload_pb2 import Upload
from mediaservice.v1.webhook_service_pb2 import Webhook, WebhookDelivery

from media_service_client.async_client import AsyncClient
from media_service_client.errors import MediaServiceError
from media_service_client.retry import Backoff
from media_service_client.sync_client import Client

__all__ = [
    "Access",
    "Analytics",
    "ApiKey",
    "AsyncClient",
    "AuditEntry",
    "Backoff",
    "BatchResult",
    "BlockedFile",
    "Client",
    "Collection",
    "Erasure",
    "Grant",
    "Group",
    "Job",
    "Media",
    "MediaServiceError",
    "MediaVersion",
    "OperationInfo",
    "Organization",
    "Owner",
    "Policy",
    "PolicyPreset",
    "Project",
    "Quota",
    "QuotaLimit",
    "QuotaMeasure",
    "ResourcePolicy",
    "ServiceAccount",
    "ShareLink",
    "Upload",
    "Usage",
    "UsageAmount",
    "Webhook",
    "WebhookDelivery",
]
