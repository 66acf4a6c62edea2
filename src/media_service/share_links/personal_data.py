"""The people in share links."""

from media_service.db.personal_data import (
    OWNED,
    OWNER_COLUMNS,
    PersonalRows,
    Step,
    organizations_of,
)

ROWS = (
    PersonalRows(
        "share_links",
        OWNER_COLUMNS,
        OWNED,
        ("create_time", "share_link_id"),
        Step.ACCESS,
        parts=organizations_of,
        secret=("secret_hash", "password_hash"),
    ),
)
