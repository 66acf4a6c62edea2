"""The people in watch tickets."""

from media_service.db.personal_data import PersonalRows, Step

NAME = """
    coalesce(r.principal ->> 'type', 'user') || ':'
    || coalesce(nullif(r.principal ->> 'issuer', '') || '|', '') || (r.principal ->> 'subject')
"""

ROWS = (
    PersonalRows(
        "watch_tickets",
        ("principal",),
        f"{NAME} = %(name)s",
        ("ticket_hash",),
        Step.ACCESS,
        secret=("ticket_hash",),
    ),
)
