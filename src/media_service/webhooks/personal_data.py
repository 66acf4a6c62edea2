"""The people in webhooks: their creators. Deliveries go with their webhook."""

from media_service.db.personal_data import (
    OWNED,
    OWNER_COLUMNS,
    PersonalRows,
    Step,
    organizations_of,
)

ROWS = (
    PersonalRows(
        "webhooks",
        OWNER_COLUMNS,
        OWNED,
        ("create_time", "webhook_id"),
        Step.ACCESS,
        parts=organizations_of,
        secret=("secret", "old_secret"),
    ),
)
