"""The people in media."""

from media_service.db.personal_data import (
    OWNED,
    OWNER_COLUMNS,
    TO_PSEUDONYM,
    Fate,
    Params,
    PersonalRows,
    Step,
)
from media_service.db.transaction import Transaction
from media_service.renditions.delete import remove_media

# In no project, or in one that the person pays for.
THEIRS = """
    (r.project_id = '' or exists (
        select from projects p
        where p.project_id = r.project_id and p.org_id = ''
          and p.owner_type || ':' || p.owner_id = any(%(names)s)
    ))
"""
KEY = ("create_time", "media_id")


async def purge(tx: Transaction, params: Params) -> int:
    """Purges one media: a long video has thousands of segments. Jobs remove its bytes."""
    rows = await tx.execute(
        f"select media_id::text as media_id from media r where {OWNED} and {THEIRS}"
        " limit 1 for update".encode(),
        params,
    )
    row = await rows.fetchone()
    if row is None:
        return 0
    await remove_media(tx, row["media_id"])
    return 1


ROWS = (
    PersonalRows(
        "media",
        OWNER_COLUMNS,
        f"{OWNED} and {THEIRS}",
        KEY,
        Step.CONTENT,
        by_owner=True,
        erase=purge,
    ),
    # In a project of others, who pay for it.
    PersonalRows(
        "media",
        OWNER_COLUMNS,
        f"{OWNED} and not {THEIRS}",
        KEY,
        Step.CONTENT,
        Fate.PSEUDONYMIZED,
        by_owner=True,
        # Signed URLs end.
        changes=f"{TO_PSEUDONYM}, url_key = url_key + 1, revision = revision + 1,"
        " update_time = now()",
    ),
)
