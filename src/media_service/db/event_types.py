"""The types of events: the catalogue of what consumers are told. docs/events.md is made from it.

To add one, add a member: its name for consumers, what has happened, and the fields of its data that
are not in every event about its subject. `Event` accepts no others.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Self

# What a field of the data means, whatever the event.
FIELDS: Mapping[str, str] = {
    "contentType": "The type of the original, such as `image/jpeg`.",
    "disableReason": "Why, as in `Webhook.disable_reason`.",
    "kind": "The kind of the media: IMAGE, VIDEO, AUDIO or DOCUMENT.",
    "mediaId": "UUID of the media.",
    "ofVersion": "The version that the event is about.",
    "reason": "Why, as a reason of docs/errors.md; absent or empty if a caller wanted it.",
    "measure": "Which limit, as in `Quota`.",
    "rendition": "The name of the rendition.",
    "scanState": "How the virus scan ended, as in `Scan.state`.",
    "sizeBytes": "The size of the file.",
    "state": "The state of the media after the change, as in `Media.state`.",
    "version": "The current version of the media.",
    "visibility": "What anyone may read: see `Media.visibility`.",
}
# In every event about a media.
OF_MEDIA = frozenset({"kind", "state", "version", "visibility"})


class EventType(StrEnum):
    """`about`: what has happened. `fields`: of the data."""

    about: str
    fields: frozenset[str]

    def __new__(cls, value: str, about: str, *fields: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.about = about
        member.fields = frozenset(fields)
        return member

    MEDIA_CREATED = (
        "media.created",
        "An upload has become a media. It is not inspected yet.",
        *("contentType", "sizeBytes"),
    )
    MEDIA_UPDATED = "media.updated", "Fields of a media were changed by a caller."
    MEDIA_DELETED = "media.deleted", "A media was deleted, and can be undeleted.", "reason"
    MEDIA_UNDELETED = "media.undeleted", "A deleted media was restored."
    MEDIA_PURGED = (
        "media.purged",
        "A media was removed for good. `media.deleted` came before, if only just before.",
    )
    MEDIA_READY = (
        "media.ready",
        "A media was inspected, and its file was accepted.",
        "reason",
    )
    MEDIA_FAILED = "media.failed", "The file of a media cannot be used, or was refused.", "reason"
    MEDIA_QUARANTINED = "media.quarantined", "A media is not served any more.", "reason"
    MEDIA_RELEASED = "media.released", "A media is no longer in quarantine."
    MEDIA_VERSION_CREATED = (
        "media.version_created",
        "A media has a new version. It becomes the current one when it is accepted.",
        "ofVersion",
    )
    MEDIA_VERSION_FAILED = (
        "media.version_failed",
        "A new version cannot be used. The one before it stays current.",
        *("ofVersion", "reason"),
    )
    MEDIA_VERSION_DELETED = (
        "media.version_deleted",
        "A version that was not current was removed for good.",
        *("ofVersion", "reason"),
    )
    MEDIA_REPLACED = "media.replaced", "Another version is the current one: read the media again."
    MEDIA_TRANSFERRED = "media.transferred", "A media has another owner or project."
    MEDIA_STRIPPED = "media.stripped", "Personal metadata was removed from the original."

    RENDITION_CREATED = (
        "rendition.created",
        "A rendition can be read, or was replaced.",
        "rendition",
    )
    RENDITION_DELETED = "rendition.deleted", "A rendition was deleted by a caller.", "rendition"
    SCAN_COMPLETED = (
        "scan.completed",
        "The virus scan of a media has another result than before.",
        *("scanState", "reason", "ofVersion"),
    )

    UPLOAD_CREATED = "upload.created", "A session for an upload was created.", "mediaId", "reason"
    UPLOAD_FINISHED = "upload.finished", "An upload has become a media.", "mediaId", "reason"
    UPLOAD_FAILED = "upload.failed", "An upload failed when it was verified.", "mediaId", "reason"
    UPLOAD_ABORTED = "upload.aborted", "An upload was aborted.", "mediaId", "reason"
    UPLOAD_EXPIRED = "upload.expired", "An upload was idle for too long.", "mediaId", "reason"

    JOB_CREATED = (
        "job.created",
        "A job that makes a rendition was queued.",
        *("mediaId", "rendition", "reason"),
    )
    JOB_STARTED = (
        "job.started",
        "A worker has begun a job: for the first time, or again because an attempt failed.",
        *("mediaId", "rendition", "reason"),
    )
    JOB_RETRIED = (
        "job.retried",
        "A job that had ended was queued again.",
        *("mediaId", "rendition", "reason"),
    )
    JOB_SUCCEEDED = (
        "job.succeeded",
        "A job has made its rendition.",
        *("mediaId", "rendition", "reason"),
    )
    JOB_FAILED = (
        "job.failed",
        "A job ended without its rendition.",
        *("mediaId", "rendition", "reason"),
    )
    JOB_CANCELLED = (
        "job.cancelled",
        "A job was cancelled by a caller.",
        *("mediaId", "rendition", "reason"),
    )

    QUOTA_UPDATED = "quota.updated", "The limits of an account were set or removed."
    QUOTA_SOFT_LIMIT_EXCEEDED = (
        "quota.soft_limit_exceeded",
        "An account uses more than a soft limit.",
        "measure",
    )
    POLICY_UPDATED = "policy.updated", "A policy was set or removed."
    FILE_BLOCKED = "file.blocked", "A file is on a blocklist."
    FILE_UNBLOCKED = "file.unblocked", "A file is no longer on a blocklist."

    GRANT_CREATED = "grant.created", "A role on a resource was granted, or changed."
    GRANT_DELETED = "grant.deleted", "A grant on a resource was removed."
    SHARE_LINK_CREATED = "share_link.created", "A share link was created."
    SHARE_LINK_UPDATED = "share_link.updated", "A share link was changed."
    SHARE_LINK_OPENED = "share_link.opened", "A visitor has opened a share link."
    SHARE_LINK_REVOKED = "share_link.revoked", "A share link was revoked."

    WEBHOOK_DISABLED = (
        "webhook.disabled",
        "A webhook gets no more events, because a caller or the service has disabled it.",
        "disableReason",
    )

    ORGANIZATION_CREATED = "organization.created", "An organization was created."
    ORGANIZATION_UPDATED = "organization.updated", "An organization was changed."
    ORGANIZATION_DELETED = "organization.deleted", "An organization was deleted."
    COLLECTION_CREATED = "collection.created", "A collection was created."
    COLLECTION_UPDATED = (
        "collection.updated",
        "Fields of a collection changed, or media were put into it, moved or taken out.",
    )
    COLLECTION_TRANSFERRED = (
        "collection.transferred",
        "A collection, with those in it, has another owner or is in another project.",
    )
    COLLECTION_DELETED = "collection.deleted", "A collection was deleted. Its media stay."
    PROJECT_CREATED = "project.created", "A project was created."
    PROJECT_UPDATED = "project.updated", "A project was changed."
    PROJECT_TRANSFERRED = "project.transferred", "A project has another owner."
    PROJECT_DELETED = "project.deleted", "A project was deleted."
    GROUP_CREATED = "group.created", "A group was created."
    GROUP_UPDATED = "group.updated", "A group has another member, or one less."
    GROUP_DELETED = "group.deleted", "A group was deleted."
