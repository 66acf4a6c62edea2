"""The people in events: the owners of what they are about, who are not in what consumers get."""

from media_service.db.personal_data import (
    OWNED,
    OWNER_COLUMNS,
    TO_PSEUDONYM,
    Fate,
    PersonalRows,
    Step,
    organizations_of,
)

ROWS = (
    PersonalRows(
        "events",
        OWNER_COLUMNS,
        OWNED,
        ("cursor",),
        Step.LOG,
        Fate.PSEUDONYMIZED,
        parts=organizations_of,
        changes=TO_PSEUDONYM,
    ),
)
