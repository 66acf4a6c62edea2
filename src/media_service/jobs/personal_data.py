"""The people in jobs, which are removed some time after they end."""

from media_service.db.personal_data import (
    OWNED,
    OWNER_COLUMNS,
    TO_PSEUDONYM,
    Fate,
    PersonalRows,
    Step,
)

# Whose turns a job takes; without it, those of its owner.
CHARGED = "(r.charged_type, r.charged_id) = (%(type)s, %(id)s)"

ROWS = (
    PersonalRows(
        "jobs",
        OWNER_COLUMNS,
        OWNED,
        ("create_time", "job_id"),
        Step.CONTAINERS,
        Fate.PSEUDONYMIZED,
        by_owner=True,
        changes=f"{TO_PSEUDONYM}, actor_id = case when actor_id = %(id)s then '' else actor_id end",
    ),
    # On what belongs to others.
    PersonalRows(
        "jobs",
        ("actor_id", "charged_id", "turn_id"),
        f"(%(type)s = 'user' and r.actor_id = %(id)s or {CHARGED})",
        ("create_time", "job_id"),
        Step.CONTAINERS,
        Fate.PSEUDONYMIZED,
        changes="actor_id = case when actor_id = %(id)s then '' else actor_id end,"
        " charged_type = null, charged_id = null",
    ),
)
