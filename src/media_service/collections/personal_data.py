"""The people in collections."""

from collections.abc import Sequence

from media_service.collections import queries
from media_service.db.personal_data import (
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

KEY = ("create_time", "collection_id")


async def remove(tx: Transaction, found: Sequence[Row]) -> int:
    """All collections in one of a person are theirs, too."""
    await queries.remove(tx, [str(row["collection_id"]) for row in found])
    return len(found)


ROWS = (
    PersonalRows(
        "collections",
        OWNER_COLUMNS,
        f"{OWNED} and r.project_id = ''",
        KEY,
        Step.CONTENT,
        parts=organizations_of,
        erase=remove,
    ),
    # The members of a project go on with those in it.
    PersonalRows(
        "collections",
        OWNER_COLUMNS,
        f"{OWNED} and r.project_id <> ''",
        KEY,
        Step.CONTENT,
        Fate.PSEUDONYMIZED,
        parts=organizations_of,
        changes=f"{TO_PSEUDONYM}, revision = revision + 1, update_time = now()",
    ),
)
