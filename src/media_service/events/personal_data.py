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
    # An erasure waits until the relay has moved them, which it does within a second, and then
    # changes them. It looks here first: whatever leaves the outbox meanwhile is found below.
    PersonalRows(
        "event_outbox",
        ("event",),
        "(r.event ->> 'owner_type', r.event ->> 'owner_id') = (%(type)s, %(id)s)",
        ("position",),
        Step.LOG,
        Fate.PSEUDONYMIZED,
    ),
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
