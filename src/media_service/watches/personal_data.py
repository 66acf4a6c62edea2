"""The people in watch tickets."""

from media_service.db.personal_data import PRINCIPAL, PersonalRows, Step

ROWS = (
    PersonalRows(
        "watch_tickets",
        ("principal",),
        f"{PRINCIPAL.format(column='r.principal')} = %(name)s",
        ("ticket_hash",),
        Step.ACCESS,
        secret=("ticket_hash",),
    ),
)
