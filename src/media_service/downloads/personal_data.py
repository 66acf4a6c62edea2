"""The people in the keys of signed URLs."""

from media_service.db.personal_data import PersonalRows, Step

ROWS = (
    PersonalRows(
        "signed_url_keys",
        ("principal",),
        "r.principal = %(name)s",
        ("principal",),
        Step.ACCOUNTS,
    ),
)
