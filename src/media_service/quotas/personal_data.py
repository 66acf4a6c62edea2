"""The people in quotas."""

from media_service.db.personal_data import PersonalRows, Step

ROWS = (
    PersonalRows(
        "quotas",
        ("account",),
        "starts_with(r.account, 'owner:')"
        " and substr(r.account, strpos(r.account, '/') + 1) = %(name)s",
        ("account", "measure"),
        Step.ACCOUNTS,
    ),
)
