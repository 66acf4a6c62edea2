"""The people in service accounts and API keys."""

from media_service.db.personal_data import OWNED, OWNER_COLUMNS, PersonalRows, Step

OF_ACCOUNT = """
    exists (
        select from service_accounts a
        where a.service_account_id = r.service_account_id
          and a.owner_type || ':' || a.owner_id = %(name)s
    )
"""

ROWS = (
    PersonalRows(
        "api_keys",
        OWNER_COLUMNS,
        OF_ACCOUNT,
        ("service_account_id", "api_key_id"),
        Step.ACCESS,
        secret=("secret_hash",),
    ),
    # Last, because what the accounts own is erased by their names.
    PersonalRows(
        "service_accounts",
        OWNER_COLUMNS,
        OWNED,
        ("create_time", "service_account_id"),
        Step.ACCOUNTS,
        by_owner=True,
    ),
)
