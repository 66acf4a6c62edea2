"""The people in service accounts and API keys."""

from media_service.db.personal_data import (
    OWNED,
    OWNER_COLUMNS,
    PersonalRows,
    Step,
    organizations_of,
)

ROWS = (
    PersonalRows(
        "api_keys",
        OWNER_COLUMNS,
        OWNED,
        ("create_time", "api_key_id"),
        Step.ACCESS,
        parts=organizations_of,
        secret=("secret_hash",),
    ),
    # Last, because what the accounts own is erased by their names.
    PersonalRows(
        "service_accounts",
        OWNER_COLUMNS,
        OWNED,
        ("create_time", "service_account_id"),
        Step.ACCOUNTS,
        parts=organizations_of,
    ),
)
