"""The people in share links."""

from media_service.db.personal_data import OWNED, OWNER_COLUMNS, PersonalRows, Step

ROWS = (
    PersonalRows(
        "share_links",
        OWNER_COLUMNS,
        OWNED,
        ("create_time", "share_link_id"),
        Step.ACCESS,
        by_owner=True,
        secret=("secret_hash", "password_hash"),
    ),
)
