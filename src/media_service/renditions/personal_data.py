"""The people in media."""

from collections.abc import Sequence

from media_service.db.event_types import EventType
from media_service.db.new_event import Event
from media_service.db.personal_data import (
    CHARGED_BATCH,
    OWNED,
    OWNER_COLUMNS,
    TO_PSEUDONYM,
    Fate,
    PersonalRows,
    Row,
    Step,
    organizations_of,
)
from media_service.db.transaction import Transaction
from media_service.renditions.delete import remove_media

# In no project, or in one that the person pays for.
THEIRS = """
    (r.project_id = '' or r.project_id in (
        select p.project_id
        from unnest(%(names)s::text[]) name
        join projects p on p.org_id = '' and p.owner_type = split_part(name, ':', 1)
            and p.owner_id = substr(name, strpos(name, ':') + 1)
    ))
"""
KEY = ("create_time", "media_id")
# With its versions, which have their own names and metadata.
WITH_VERSIONS = """
    to_jsonb(r) || jsonb_build_object('versions', (
        select jsonb_agg(to_jsonb(v) order by v.version) from media_versions v
        where v.media_id = r.media_id
    ))
"""


async def purge(tx: Transaction, found: Sequence[Row]) -> int:
    """Jobs remove the bytes."""
    for row in found:
        if row["delete_time"] is None:
            tx.emit(Event(type=EventType.MEDIA_DELETED, media_id=str(row["media_id"])))
        await remove_media(tx, str(row["media_id"]))
    return len(found)


ROWS = (
    PersonalRows(
        "media",
        OWNER_COLUMNS,
        f"{OWNED} and {THEIRS}",
        KEY,
        Step.CONTENT,
        parts=organizations_of,
        erase=purge,
        batch=CHARGED_BATCH,  # a long video has thousands of segments, too
        exported=WITH_VERSIONS,
    ),
    # In a project of others, who pay for it.
    PersonalRows(
        "media",
        OWNER_COLUMNS,
        f"{OWNED} and not {THEIRS}",
        KEY,
        Step.CONTENT,
        Fate.PSEUDONYMIZED,
        parts=organizations_of,
        # Signed URLs end.
        changes=f"{TO_PSEUDONYM}, url_key = url_key + 1, revision = revision + 1,"
        " update_time = now()",
        batch=CHARGED_BATCH,
        exported=WITH_VERSIONS,
    ),
)
