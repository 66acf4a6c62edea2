"""The events of what the audit log records. `tx.audit` emits them with the entry, so that a change
which is recorded is also told to consumers. tests/rules/test_events.py fails for an action that is
in none of these tables."""

from collections.abc import Mapping

from media_service.access.owner import Owner
from media_service.access.role import Role
from media_service.db.audit_entry import AuditEntry
from media_service.db.event_types import EventType
from media_service.db.new_event import NOBODY, Event, Numbered, Value

# About the media of the entry.
OF_MEDIA: Mapping[str, EventType] = {
    "media.update": EventType.MEDIA_UPDATED,
    "media.publish": EventType.MEDIA_UPDATED,
    "media.merge": EventType.MEDIA_UPDATED,
    "media.delete": EventType.MEDIA_DELETED,
    "media.undelete": EventType.MEDIA_UNDELETED,
    "media.purge": EventType.MEDIA_PURGED,
    "media.release": EventType.MEDIA_RELEASED,
    "media.transfer": EventType.MEDIA_TRANSFERRED,
    "media.strip": EventType.MEDIA_STRIPPED,
    "versions.create": EventType.MEDIA_VERSION_CREATED,
    "versions.restore": EventType.MEDIA_VERSION_CREATED,
    "versions.delete": EventType.MEDIA_VERSION_DELETED,
    "media.replace": EventType.MEDIA_REPLACED,
    "renditions.delete": EventType.RENDITION_DELETED,
}
# About something else, with the role that a caller needs to see them.
OF_OTHERS: Mapping[str, tuple[EventType, Role]] = {
    "collections.create": (EventType.COLLECTION_CREATED, Role.VIEWER),
    "collections.delete": (EventType.COLLECTION_DELETED, Role.VIEWER),
    "collections.remove_media": (EventType.COLLECTION_UPDATED, Role.VIEWER),
    "collections.transfer": (EventType.COLLECTION_TRANSFERRED, Role.VIEWER),
    "collections.update": (EventType.COLLECTION_UPDATED, Role.VIEWER),
    "files.block": (EventType.FILE_BLOCKED, Role.MANAGER),
    "files.unblock": (EventType.FILE_UNBLOCKED, Role.MANAGER),
    "grants.delete": (EventType.GRANT_DELETED, Role.MANAGER),
    "grants.set": (EventType.GRANT_CREATED, Role.MANAGER),
    "groups.add_member": (EventType.GROUP_UPDATED, Role.MANAGER),
    "groups.create": (EventType.GROUP_CREATED, Role.MANAGER),
    "groups.delete": (EventType.GROUP_DELETED, Role.MANAGER),
    "groups.remove_member": (EventType.GROUP_UPDATED, Role.MANAGER),
    "organizations.create": (EventType.ORGANIZATION_CREATED, Role.MANAGER),
    "organizations.delete": (EventType.ORGANIZATION_DELETED, Role.MANAGER),
    "organizations.update": (EventType.ORGANIZATION_UPDATED, Role.VIEWER),
    "policies.set": (EventType.POLICY_UPDATED, Role.MANAGER),
    "projects.create": (EventType.PROJECT_CREATED, Role.VIEWER),
    "projects.delete": (EventType.PROJECT_DELETED, Role.VIEWER),
    "projects.transfer": (EventType.PROJECT_TRANSFERRED, Role.VIEWER),
    "projects.update": (EventType.PROJECT_UPDATED, Role.VIEWER),
    "quotas.set": (EventType.QUOTA_UPDATED, Role.MANAGER),
    "share_links.create": (EventType.SHARE_LINK_CREATED, Role.MANAGER),
    "share_links.open": (EventType.SHARE_LINK_OPENED, Role.MANAGER),
    "share_links.revoke": (EventType.SHARE_LINK_REVOKED, Role.MANAGER),
    "share_links.update": (EventType.SHARE_LINK_UPDATED, Role.MANAGER),
}
# Emitted by their use cases, or by triggers on the rows (migration `state_events`).
OTHERWISE = {
    *("media.create", "media.copy", "media.quarantine", "media.scan"),
    *("uploads.create", "uploads.write", "uploads.complete", "uploads.abort", "uploads.expire"),
    *("renditions.create", "jobs.cancel", "jobs.retry", "quotas.exceed_soft_limit"),
    *("webhooks.update", "webhooks.disable"),
}
# They change nothing that others follow, or tell who has which secret.
SILENT = {
    "collections.add_media",  # who sees the media need not see the collection
    *("api_keys.create", "api_keys.revoke", "service_accounts.create", "service_accounts.delete"),
    *("audit.export", "users.export", "users.erase", "quotas.recalculate", "watches.create"),
    *("webhooks.create", "webhooks.delete", "webhooks.rotate", "webhooks.redeliver"),
    *("media.sign", "media.hand_out", "uploads.sign", "signed_urls.revoke", "archives.create"),
    "duplicates.decide",
    "media.empty_trash",  # an event follows when the media is purged
}


def event_of(
    entry: AuditEntry, caller: Owner | None, numbered: Numbered | None = None
) -> Event | None:
    """The event of an entry, if it has one. What belongs to no media and no project is shown to the
    caller who changed it, and to those with a role on the organization."""
    if (type_ := OF_MEDIA.get(entry.action)) and entry.media_id:
        why = "" if entry.outcome == "OK" else entry.outcome
        known: dict[str, Value] = {
            "reason": why,
            "ofVersion": entry.version,
            "rendition": entry.details.get("rendition"),
        }
        data = {name: value for name, value in known.items() if name in type_.fields}
        return Event(type=type_, media_id=entry.media_id, data=data, numbered=numbered)
    if found := OF_OTHERS.get(entry.action):
        type_, role = found
        kind = type_.partition(".")[0]
        return Event(
            type=type_,
            subject=f"{kind}/{subject_id(entry, kind)}",
            media_id=entry.media_id,
            owner=Owner(*((caller.type, caller.id) if caller else NOBODY_NAMED), entry.org_id),
            project_id=entry.project_id,
            minimum_role=role,
        )
    return None


NOBODY_NAMED = (NOBODY.type, NOBODY.id)


def subject_id(entry: AuditEntry, kind: str) -> str:
    """The id in the subject: of "project:spring" only "spring" if that is its kind."""
    return (entry.resource_id or entry.project_id).removeprefix(f"{kind}:")
