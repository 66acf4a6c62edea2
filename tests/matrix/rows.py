"""The rows of the matrix: a request of each method, as JSON, with placeholders for a target.

`$unique` is new in each call, and `$jpeg` is an image in base64.
"""

import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from string import Template
from typing import Any
from uuid import uuid4

from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tests.matrix.world import (
    COLLECTION,
    EVENT,
    MEDIA,
    ORGANIZATION,
    PROJECT,
    Place,
    Target,
    World,
    account,
    api_key,
    archive,
    collection,
    deleted_media,
    duplicated,
    erasure,
    failed_job,
    group,
    listed,
    media,
    nothing,
    organization,
    project,
    published,
    queued_job,
    replaced_media,
    share_link,
    signed_archive,
    signed_link,
    signed_part,
    stream,
    two_media,
    upload,
    webhook,
    written_upload,
)
from tests.support.contract_rules import METHODS, rule_of
from tests.support.media.small_files import jpeg

SHA256 = "0" * 64
JPEG = base64.b64encode(jpeg()).decode()
BY_NAME = {method.full_name.removeprefix("mediaservice.v1."): method for method in METHODS}
BODY = {"body": {"contentType": "image/jpeg", "data": "$jpeg"}}
EVENT_OWNER = {"type": "event", "id": "gala", "organizationId": "acme"}
AUTHOR_OWNER = {"type": "user", "id": "ann", "organizationId": "acme"}


@dataclass(frozen=True)
class Row:
    """`variant`: of several rows of a method, what is special. `place`: where callers have their
    roles. `needle`: what the answer contains if the caller sees the target. `headers`: over gRPC
    metadata."""

    method_name: str
    request: Mapping[str, Any]
    target: Callable[[World, Place], Awaitable[Target]] = nothing
    place: Place = PROJECT
    variant: str = ""
    needle: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.method_name}/{self.variant}" if self.variant else self.method_name

    @property
    def method(self) -> Any:
        return BY_NAME[self.method_name]

    @property
    def changes(self) -> bool:
        """Whether a call that succeeds may change the target."""
        return bool(rule_of(self.method).audit)

    def named(self, target: Target) -> Target:
        """The values of the target that the request has."""
        text = json.dumps(self.request)
        return {name: value for name, value in target.items() if f"${name}" in text}

    def message(self, target: Target) -> Message:
        filled = fill(json.dumps(self.request), {**target, "unique": uuid4().hex, "jpeg": JPEG})
        return ParseDict(json.loads(filled), GetMessageClass(self.method.input_type)())


def fill(text: str, target: Mapping[str, str]) -> str:
    return Template(text).substitute(target)


# The rows of a media, an upload and a job, whose callers have their roles on a project.
OF_MEDIA: dict[str, dict[str, Any]] = {
    "AccessService.TransferMedia": {"projectId": ""},
    "AuditService.ListMediaAccess": {},
    "AuditService.GetAnalytics": {},
    "AuditService.ExportAudit": {},
    "DownloadService.Download": {},
    "DownloadService.GetContent": {},
    "DownloadService.RenderImage": {"width": 8},
    "DownloadService.SignUrl": {},
    "MediaService.GetMedia": {},
    "MediaService.CopyMedia": {},
    "MediaService.DeleteMedia": {},
    "MediaService.DeleteRendition": {"rendition": "small"},
    "ProcessingService.ProcessMedia": {"ops": "resize:8x"},
    "ProcessingService.ReprocessMedia": {},
}
OF_UPLOAD: dict[str, dict[str, Any]] = {
    "UploadService.GetUpload": {},
    "UploadService.ListParts": {},
    "UploadService.WatchUpload": {},
    "UploadService.WatchUploadEvents": {},
    "UploadService.WriteUpload": {"data": "$jpeg"},
    "UploadService.AppendUpload": BODY,
    "UploadService.PutPart": {"partNumber": 1, "sizeBytes": len(jpeg()), **BODY},
    "UploadService.SignUpload": {"parts": [{"partNumber": 1, "sizeBytes": 9}]},
    "UploadService.AbortUpload": {},
    "WatchService.CreateWatchTicket": {},
}
OF_BATCHES: dict[str, dict[str, Any]] = {
    "BatchGetMedia": {},
    "BatchTagMedia": {"addTags": ["x"]},
    "BatchUpdateMedia": {"media": {"title": "x"}},
    "BatchMoveMedia": {"projectId": ""},
    "BatchDeleteMedia": {},
    "BatchProcessSelectedMedia": {"ops": "resize:8x"},
}
OF_EVENTS = ("WatchMedia", "StreamMedia")
OF_COLLECTIONS: dict[str, dict[str, Any]] = {
    "GetCollection": {"collectionId": "$collection"},
    "UpdateCollection": {"collection": {"collectionId": "$collection", "title": "x"}},
    "AddCollectionMedia": {"collectionId": "$collection", "mediaIds": ["$media"]},
    "RemoveCollectionMedia": {"collectionId": "$collection", "mediaIds": ["$media"]},
    "ListCollectionMedia": {"collectionId": "$collection"},
    "TransferCollection": {"collectionId": "$collection", "projectId": ""},
    "DeleteCollection": {"collectionId": "$collection"},
}
WATCHES_OF_COLLECTIONS = ("WatchCollection", "StreamCollection")
OF_JOB = ("JobService.GetJob", "JobService.WatchJob", "JobService.WatchJobEvents")
HEADERS = {"UploadService.AppendUpload": {"upload-offset": "0"}}


def in_media(name: str, place: Place = PROJECT, variant: str = "") -> Row:
    return Row(name, {"mediaId": "$media", **OF_MEDIA[name]}, media, place, variant)


def in_upload(name: str, place: Place = PROJECT, variant: str = "") -> Row:
    request = {"uploadId": "$upload", **OF_UPLOAD[name]}
    return Row(name, request, upload, place, variant, headers=HEADERS.get(name, {}))


def elsewhere(place: Place, variant: str) -> list[Row]:
    """Some rows with callers whose roles are on another place than a project."""
    title = {"media": {"mediaId": "$media", "title": "x"}, "updateMask": "title"}
    return [
        in_media("MediaService.GetMedia", place, variant),
        in_media("MediaService.DeleteMedia", place, variant),
        Row("MediaService.UpdateMedia", title, media, place, variant),
        Row("MediaService.PurgeMedia", {"mediaId": "$media"}, deleted_media, place, variant),
        in_media("DownloadService.GetContent", place, variant),
        in_upload("UploadService.GetUpload", place, variant),
        in_upload("UploadService.AbortUpload", place, variant),
        Row("JobService.GetJob", {"jobId": "$job"}, queued_job, place, variant),
        Row("JobService.CancelJob", {"jobId": "$job"}, queued_job, place, variant),
    ]


def in_list(name: str, needle: str) -> Row:
    return Row(name, {"projectId": "$project"}, listed, needle=needle)


def for_owner(name: str, spec: Mapping[str, Any], variant: str, place: Place = PROJECT) -> Row:
    """A method that creates an upload."""
    request: dict[str, Any] = {"spec": {"filename": "a.jpg", **spec}}
    if name.endswith("BatchCreateUploads"):
        request = {"requests": [request]}
    if name.endswith("WriteUpload"):
        request |= {"data": "$jpeg", "finish": True}
    if name.endswith("UploadMedia"):
        request |= BODY
    return Row(name, request, nothing, place, variant)


CREATING = ("CreateUpload", "BatchCreateUploads", "WriteUpload", "UploadMedia")
DESTINATIONS: dict[str, tuple[dict[str, Any], Place]] = {
    "own": ({}, PROJECT),
    "project": ({"projectId": PROJECT.project}, PROJECT),
    "event": ({"owner": EVENT_OWNER}, EVENT),
}


def granted(name: str, **fields: Any) -> list[Row]:
    """A method of grants, on each kind of resource."""

    def on(resource: str, target: Any, place: Place, variant: str) -> Row:
        return Row(name, {"resource": resource, **fields}, target, place, variant)

    return [
        on("media:$media", media, MEDIA, "media"),
        on("project:$project", project, PROJECT, "project"),
        on("collection:$collection", collection, COLLECTION, "collection"),
        on("owner:acme/event:gala", nothing, EVENT, "event"),
        on("organization:$organization", nothing, ORGANIZATION, "organization"),
        on("service:", nothing, PROJECT, "installation"),
    ]


def quota(name: str, **fields: Any) -> list[Row]:
    """A method of quotas, on each kind of account."""

    def of(account: str, target: Any, place: Place, variant: str) -> Row:
        return Row(name, {"account": account, **fields}, target, place, variant)

    return [
        of("project:$project", project, PROJECT, "project"),
        of("project:$project", project, ORGANIZATION, "project-of-organization"),
        of("owner:acme/event:gala", nothing, EVENT, "event"),
        of("organization:$organization", nothing, ORGANIZATION, "organization"),
    ]


def policy(name: str, **fields: Any) -> list[Row]:
    """A method of policies, on both kinds of resource."""
    of_project = {"resource": "project:$project", **fields}
    of_organization = {"resource": "organization:$organization", **fields}
    return [
        Row(name, of_project, project, PROJECT, "project"),
        Row(name, of_organization, nothing, ORGANIZATION, "organization"),
    ]


def blocking(name: str, **fields: Any) -> list[Row]:
    """A method of blocked files, in an organization and the installation."""
    of_organization = {"resource": "organization:$organization", **fields}
    return [
        Row(name, of_organization, nothing, ORGANIZATION, "organization"),
        Row(name, {"resource": "service:", **fields}, variant="installation"),
    ]


def in_organization(name: str, target: Any, **request: Any) -> Row:
    needle = request.pop("needle", "")
    return Row(name, request, target, ORGANIZATION, needle=needle)


SMALL = {"member": "user:somebody"}
ROWS: list[Row] = [
    # Organizations and projects
    Row("AccessService.CreateOrganization", {"organizationId": "new-$unique"}),
    in_organization(
        "AccessService.ListOrganizations", nothing, pageSize=1000, needle="$organization"
    ),
    Row("AccessService.CreateProject", {"displayName": "Vacation"}, variant="own"),
    Row(
        "AccessService.CreateProject",
        {"displayName": "Vacation", "owner": EVENT_OWNER},
        *(nothing, EVENT, "event"),
    ),
    Row("AccessService.GetProject", {"projectId": "$project"}, project),
    Row(
        "AccessService.GetProject", {"projectId": "$project"}, project, ORGANIZATION, "organization"
    ),
    Row("AccessService.ListProjects", {"pageSize": 1000}, project, needle="$project"),
    Row("AccessService.UpdateProject", {"projectId": "$project", "displayName": "x"}, project),
    Row(
        "AccessService.TransferProject",
        {"projectId": "$project", "owner": EVENT_OWNER},
        project,
    ),
    Row("AccessService.DeleteProject", {"projectId": "$project"}, project),
    # Groups
    in_organization(
        *("AccessService.CreateGroup", nothing), organizationId="$organization", displayName="x"
    ),
    in_organization(
        *("AccessService.ListGroups", group), organizationId="$organization", needle="$group"
    ),
    in_organization("AccessService.UpdateOrganization", nothing, organizationId="$organization"),
    in_organization(
        "AccessService.DeleteOrganization", organization, organizationId="$organization"
    ),
    in_organization("AccessService.DeleteGroup", group, groupId="$group"),
    in_organization("AccessService.AddGroupMember", group, groupId="$group", **SMALL),
    in_organization("AccessService.RemoveGroupMember", group, groupId="$group", **SMALL),
    in_organization("AccessService.ListGroupMembers", group, groupId="$group"),
    # Grants
    *granted("AccessService.SetGrant", grantee="user:u-$unique", role="VIEWER"),
    *granted("AccessService.DeleteGrant", grantee="user:u-$unique"),
    *granted("AccessService.ListGrants"),
    *granted("AccessService.GetAccess"),
    # Media
    *(in_media(name) for name in OF_MEDIA),
    Row(
        "MediaService.UpdateMedia",
        {"media": {"mediaId": "$media", "title": "x"}, "updateMask": "title"},
        media,
    ),
    Row(
        "MediaService.UpdateMedia",
        {"media": {"mediaId": "$media", "visibility": "PUBLIC"}, "updateMask": "visibility"},
        *(media, PROJECT, "publish"),
    ),
    Row("DuplicateService.ListDuplicates", {}, duplicated, needle="$media"),
    Row("DuplicateService.FindSimilarMedia", {"mediaId": "$media"}, media),
    Row(
        "DuplicateService.DecideDuplicates",
        {"mediaId": "$media", "otherIds": ["$other"], "decision": "KEEP"},
        two_media,
    ),
    Row("DuplicateService.MergeMedia", {"mediaIds": ["$media", "$other"]}, two_media),
    Row("MediaService.UndeleteMedia", {"mediaId": "$media"}, deleted_media),
    Row("MediaService.PurgeMedia", {"mediaId": "$media"}, deleted_media),
    Row("MediaService.EmptyTrash", {"projectId": PROJECT.project}, deleted_media, needle="$media"),
    *(
        Row(f"MediaService.{name}", {"mediaId": "$media", "version": 1}, replaced_media)
        for name in ("GetVersion", "RestoreVersion", "DeleteVersion")
    ),
    Row("MediaService.ListVersions", {"mediaId": "$media"}, replaced_media),
    Row(
        "DownloadService.GetContent",
        {"mediaId": "$media", "version": 1},
        *(replaced_media, PROJECT, "version"),
    ),
    Row(
        "UploadService.CreateUpload",
        {"spec": {"mediaId": "$media"}},
        *(media, PROJECT, "replace"),
    ),
    Row(
        "DownloadService.GetStream",
        {"mediaId": "$media", "path": "$stream/a1/init.mp4"},
        stream,
    ),
    Row(
        "ProcessingService.BatchProcessMedia",
        {"requests": [{"mediaId": "$media", "ops": "resize:8x"}]},
        media,
    ),
    *(
        Row(f"BatchService.{name}", {"mediaIds": ["$media"], **fields}, media)
        for name, fields in OF_BATCHES.items()
    ),
    # Collections
    Row("CollectionService.CreateCollection", {"title": "x"}, variant="own"),
    Row(
        "CollectionService.CreateCollection",
        {"title": "x", "projectId": PROJECT.project},
        variant="project",
    ),
    Row(
        "CollectionService.CreateCollection",
        {"title": "x", "parentId": "$collection"},
        *(collection, COLLECTION, "parent"),
    ),
    *(
        Row(f"CollectionService.{name}", request, collection, place, of)
        for place, of in ((PROJECT, "project"), (COLLECTION, "collection"))
        for name, request in OF_COLLECTIONS.items()
    ),
    Row(
        "CollectionService.ListCollections",
        {"pageSize": 1000},
        *(collection, COLLECTION),
        needle="$collection",
    ),
    Row("MediaService.GetMedia", {"mediaId": "$media"}, collection, COLLECTION, "collection"),
    in_list("MediaService.ListMedia", "$media"),
    Row("MediaService.SearchMedia", {"query": "beach"}),
    in_list("MediaService.CountFacets", "image/jpeg"),
    in_list("UploadService.ListUploads", "$upload"),
    in_list("JobService.ListJobs", "$job"),
    *elsewhere(MEDIA, "media"),
    *elsewhere(EVENT, "event"),
    *elsewhere(ORGANIZATION, "organization"),
    # Uploads
    *(in_upload(name) for name in OF_UPLOAD),
    Row("UploadService.CompleteUpload", {"uploadId": "$upload"}, written_upload),
    *(
        for_owner(f"UploadService.{name}", spec, variant, place)
        for name in CREATING
        for variant, (spec, place) in DESTINATIONS.items()
    ),
    # Events
    Row("EventService.WatchEvents", {}),
    Row("EventService.StreamEvents", {}),
    *(Row(f"EventService.{name}", {"mediaId": "$media"}, media) for name in OF_EVENTS),
    *(
        Row(
            f"EventService.{name}",
            {"collectionId": "$collection"},
            *(collection, COLLECTION),
        )
        for name in WATCHES_OF_COLLECTIONS
    ),
    Row("WatchService.CreateWatchTicket", {"mediaId": "$media"}, media, variant="media"),
    Row(
        "WatchService.CreateWatchTicket",
        {"collectionId": "$collection"},
        *(collection, COLLECTION, "collection"),
    ),
    Row("WatchService.CreateWatchTicket", {"events": True}, variant="events"),
    # Jobs
    *(Row(name, {"jobId": "$job"}, queued_job) for name in OF_JOB),
    Row("JobService.CancelJob", {"jobId": "$job"}, queued_job),
    Row("JobService.RetryJob", {"jobId": "$job"}, failed_job),
    Row("WatchService.CreateWatchTicket", {"jobId": "$job"}, queued_job, variant="job"),
    # Service accounts and keys
    in_organization("CredentialsService.CreateServiceAccount", nothing, displayName="import"),
    in_organization(
        *("CredentialsService.ListServiceAccounts", account), pageSize=1000, needle="$account"
    ),
    in_organization(
        "CredentialsService.DeleteServiceAccount", account, serviceAccountId="$account"
    ),
    in_organization(
        *("CredentialsService.CreateApiKey", account), serviceAccountId="$account", displayName="x"
    ),
    in_organization(
        *("CredentialsService.ListApiKeys", api_key), serviceAccountId="$account", needle="$key"
    ),
    in_organization("CredentialsService.RevokeApiKey", api_key, apiKeyId="$key"),
    # Audit
    Row("AuditService.ListActivity", {}),
    Row("AuditService.GetProjectAnalytics", {"projectId": "$project"}, project),
    in_organization(
        "AuditService.GetOrganizationAnalytics", nothing, organizationId="$organization"
    ),
    in_organization("AuditService.ListOrganizationAccess", nothing, organizationId="$organization"),
    Row("AuditService.ExportProjectAudit", {"projectId": "$project"}, project),
    in_organization(
        "AuditService.ExportOrganizationAudit", nothing, organizationId="$organization"
    ),
    Row("AuditService.ExportActivity", {}, variant="own"),
    Row("AuditService.ExportActivity", {"userId": "ann"}, variant="of-another"),
    Row("AuditService.ListActivity", {"userId": "ann"}, variant="of-another"),
    # Persons
    Row("PrivacyService.EraseUser", {"userId": "u-$unique"}),
    Row("PrivacyService.GetErasure", {"erasureId": "$erasure"}, erasure),
    Row("PrivacyService.ExportUser", {}, variant="own"),
    Row("PrivacyService.ExportUser", {"userId": "ann"}, variant="of-another"),
    # Policies
    *policy("PolicyService.GetPolicy"),
    *policy("PolicyService.SetPolicy", policy={"maxPixels": 1 << 30}),
    # Quotas
    *quota("QuotaService.GetQuota"),
    *quota("QuotaService.GetUsage"),
    *quota("QuotaService.SetQuota", limits=[{"measure": "BYTES", "limit": 1 << 40}]),
    *quota("QuotaService.RecalculateQuota"),
    # Links
    Row("DownloadService.RevokeSignedUrls", {"mediaId": "$media"}, media, variant="media"),
    Row("DownloadService.RevokeSignedUrls", {"signer": "me"}, variant="own"),
    Row("DownloadService.RevokeSignedUrls", {"signer": "user:u-$unique"}, variant="of-another"),
    Row(
        "ShareLinkService.CreateShareLink",
        {"targets": ["project:$project"], "mode": "VIEW"},
        project,
        variant="project",
    ),
    Row(
        "ShareLinkService.CreateShareLink",
        {"targets": ["media:$media"], "mode": "DOWNLOAD"},
        *(media, MEDIA, "media"),
    ),
    Row("ShareLinkService.GetShareLink", {"shareLinkId": "$link"}, share_link),
    Row("ShareLinkService.ListShareLinks", {"target": "media:$media"}, share_link, needle="$link"),
    Row(
        "ShareLinkService.UpdateShareLink",
        {"shareLinkId": "$link", "displayName": "x"},
        share_link,
    ),
    Row("ShareLinkService.RevokeShareLink", {"shareLinkId": "$link"}, share_link),
    Row("ShareLinkService.OpenShareLink", {"secret": "$secret"}, share_link),
    # Webhooks
    Row(
        "WebhookService.CreateWebhook",
        {"resource": "project:$project", "url": "https://hooks.example.com/"},
        project,
        variant="project",
    ),
    Row("WebhookService.CreateWebhook", {"url": "https://hooks.example.com/"}, variant="own"),
    Row("WebhookService.ListWebhooks", {"resource": "project:$project"}, project),
    Row("WebhookService.GetWebhook", {"webhookId": "$webhook"}, webhook),
    Row("WebhookService.ListWebhookDeliveries", {"webhookId": "$webhook"}, webhook),
    Row("WebhookService.UpdateWebhook", {"webhookId": "$webhook", "description": "x"}, webhook),
    Row("WebhookService.RotateWebhookSecret", {"webhookId": "$webhook"}, webhook),
    Row(
        "WebhookService.RedeliverWebhookEvents",
        {"webhookId": "$webhook", "startTime": "2026-01-01T00:00:00Z"},
        webhook,
    ),
    Row("WebhookService.DeleteWebhook", {"webhookId": "$webhook"}, webhook),
    # Archives, which only their creators read
    Row("ArchiveService.CreateArchive", {"mediaIds": ["$media"]}, media),
    Row(
        "ArchiveService.CreateArchive",
        {"collectionId": "$collection"},
        *(collection, COLLECTION, "collection"),
    ),
    Row("ArchiveService.GetArchiveContent", {"archiveId": "$archive"}, archive),
    # Blocked files
    *blocking("PolicyService.BlockFile", sha256=SHA256),
    *blocking("PolicyService.UnblockFile", sha256=SHA256),
    *blocking("PolicyService.ListBlockedFiles"),
    *blocking("PolicyService.FindBlockedMedia", sha256=SHA256),
    # Without a token
    Row("DownloadService.GetSigned", {"token": "$token", "path": "a.jpg"}, signed_link),
    Row("DownloadService.GetPublic", {"path": "$path"}, published),
    Row("ArchiveService.GetSignedArchive", {"token": "$token", "path": "a.zip"}, signed_archive),
    Row("UploadService.PutSigned", {"token": "$token", **BODY}, signed_part),
    Row("ProcessingService.ListOperations", {}),
    Row("HealthService.CheckLiveness", {}),
    Row("HealthService.CheckReadiness", {}),
]
