"""The people who created archives."""

from media_service.db.personal_data import PersonalRows, Step

ROWS = (
    PersonalRows(
        "archives",
        ("creator",),
        "r.creator = %(name)s",
        ("create_time", "archive_id"),
        Step.ACCESS,
    ),
)
