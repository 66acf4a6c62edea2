"""The people in batches, which are removed with their jobs."""

from media_service.db.personal_data import PersonalRows, Step

KEY = ("create_time", "batch_id")

ROWS = (
    # Without it, the job ends.
    PersonalRows("batches", ("caller", "principal"), "r.caller = %(name)s", KEY, Step.ACCESS),
    # Who gets media of others, and is in the action, too.
    PersonalRows(
        "batches",
        ("recipient", "action"),
        "r.recipient = %(name)s",
        KEY,
        Step.ACCESS,
        secret=("caller", "principal", "filter", "errors"),
    ),
)
