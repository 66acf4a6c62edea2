"""The people in jobs, which are removed some time after they end."""

from media_service.db.personal_data import (
    CHARGED_BATCH,
    OWNED,
    OWNER_COLUMNS,
    TO_PSEUDONYM,
    Fate,
    PersonalRows,
    Step,
    organizations_of,
)

CHARGED = "(r.charged_type, r.charged_id) = (%(type)s, %(id)s)"
FORGET = f"""
    actor_id = case when r.actor_id = %(id)s then '' else r.actor_id end,
    charged_type = case when {CHARGED} then null else r.charged_type end,
    charged_id = case when {CHARGED} then null else r.charged_id end
"""

ROWS = (
    PersonalRows(
        "jobs",
        OWNER_COLUMNS,
        OWNED,
        ("create_time", "job_id"),
        Step.CONTAINERS,
        Fate.PSEUDONYMIZED,
        parts=organizations_of,
        changes=f"{TO_PSEUDONYM}, {FORGET}",
        batch=CHARGED_BATCH,
    ),
    # Who caused it, on what belongs to others.
    PersonalRows(
        "jobs",
        ("actor_id",),
        """
            r.actor_id = %(id)s and r.actor_id <> ''
            and (r.owner_type in ('user', 'service_account') and r.owner_id = r.actor_id)
                is not true
        """,
        ("create_time", "job_id"),
        Step.CONTAINERS,
        Fate.PSEUDONYMIZED,
        changes=FORGET,
    ),
    # Whose turns it takes, if that is neither its owner nor who caused it.
    PersonalRows(
        "jobs",
        ("charged_id", "turn_id"),
        f"""
            {CHARGED}
            and ((r.charged_type, r.charged_id) = (r.owner_type, r.owner_id)) is not true
            and ((r.charged_type, r.charged_id) = ('user', r.actor_id)) is not true
        """,
        ("create_time", "job_id"),
        Step.CONTAINERS,
        Fate.PSEUDONYMIZED,
        changes=FORGET,
    ),
)
