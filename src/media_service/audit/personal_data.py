"""The people in the audit log.

Its entries hold a random id. Without the row in `audit_people`, and without the addresses, they
name nobody, and the digests remain valid. If the person calls again, the log knows them under
another id.
"""

from media_service.db.personal_data import Fate, PersonalRows, Step

# One id, and perhaps a former one.
PERSON = (
    "any(array(select p.person_id from audit_people p where p.type = %(type)s and p.id = %(id)s))"
)
OF_PERSON = f"r.person_id = {PERSON}"

ROWS = (
    PersonalRows(
        "audit_entries",
        ("person_id",),
        OF_PERSON,
        ("time", "entry_id"),
        Step.LOG,
        Fate.PSEUDONYMIZED,
        secret=("origin_hash", "transaction_id"),
        # A refusal reveals nothing about the media.
        exported="to_jsonb(r) || case when r.category = 'DENIAL'"
        """ then '{"org_id": "", "project_id": "", "version": 0}' else '{}' end::jsonb""",
    ),
    PersonalRows(
        "audit_origins",
        ("address", "user_agent"),
        f"(r.time, r.entry_id) in (select e.time, e.entry_id from audit_entries e"
        f" where e.person_id = {PERSON})",
        ("time", "entry_id"),
        Step.LOG,
        batch=5000,  # each one reads all entries of the person
        secret=("salt",),
    ),
    PersonalRows(
        "audit_recent_views",
        ("person_id",),
        OF_PERSON,
        ("person_id", "media_id", "version"),
        Step.LOG,
    ),
    PersonalRows(
        "audit_people",
        ("person_id", "id"),
        "r.type = %(type)s and r.id = %(id)s",
        ("person_id",),
        Step.LOG,
        secret=("salt",),
    ),
)
