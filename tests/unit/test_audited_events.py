"""The events of audited changes."""

import pytest

from media_service.access.owner import Owner
from media_service.access.role import Role
from media_service.db.audit_entry import SERVICE, AuditEntry, Category
from media_service.db.audited_events import event_of
from media_service.ids import new_id


def entry(action: str, **values: str) -> AuditEntry:
    return AuditEntry(category=Category.CHANGE, action=action, origin=SERVICE, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("action", "type_"),
    [
        ("versions.create", "media.version_created"),
        ("versions.delete", "media.version_deleted"),
        ("media.delete", "media.deleted"),
        ("media.publish", "media.updated"),
        ("media.release", "media.released"),
        ("media.replace", "media.replaced"),
        ("media.strip", "media.stripped"),
        ("renditions.delete", "rendition.deleted"),
    ],
)
def test_a_change_of_a_media_is_an_event_about_it(action: str, type_: str) -> None:
    media_id = new_id()
    event = event_of(entry(action, media_id=media_id), None)
    assert event
    assert (event.type, event.media_id, event.counted) == (type_, media_id, True)


def test_an_event_says_why_the_service_has_changed_something() -> None:
    event = event_of(entry("media.delete", media_id=new_id(), outcome="MEDIA_EXPIRED"), None)
    assert event
    assert event.data == {"reason": "MEDIA_EXPIRED"}


def test_an_event_about_access_is_for_managers_and_the_caller() -> None:
    changed = entry("grants.set", org_id="acme", project_id="spring", resource_id="project:spring")
    event = event_of(changed, Owner("user", "ann", "other"))
    assert event
    assert (event.subject, event.project_id) == ("grant/project:spring", "spring")
    assert (event.owner, event.minimum_role) == (Owner("user", "ann", "acme"), Role.MANAGER)


def test_what_is_silent_has_no_event() -> None:
    assert event_of(entry("api_keys.create", resource_id=new_id()), None) is None
