"""The people in erasures."""

from media_service.db.personal_data import Fate, PersonalRows, Step

ROWS = (
    # Each removes its names when it ends.
    PersonalRows(
        "erasures",
        ("names",),
        "r.names @> array[%(name)s] and r.end_time is null",
        ("erasure_id",),
        Step.LOG,
        Fate.PSEUDONYMIZED,
    ),
)
