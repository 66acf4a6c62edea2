"""The people in the audit log.

Its entries hold a random id. Without the row in `audit_people`, and without the addresses, they
name nobody, and the digests remain valid. If the person calls again, the log knows them under
another id.
"""

from media_service.db.personal_data import Fate, Person, PersonalRows, Step
from media_service.db.transaction import Connection

OF_PERSON = "{}.person_id = %(part)s::uuid"


async def person_ids(db: Connection, _: str, person: Person) -> list[str]:
    """One id, and perhaps a former one."""
    rows = await db.execute(
        "select person_id::text as person_id from audit_people"
        " where type = %s and id = %s order by person_id",
        (person.type, person.id),
    )
    return [row["person_id"] async for row in rows]


ROWS = (
    PersonalRows(
        "audit_entries",
        ("person_id",),
        OF_PERSON.format("r"),
        ("time", "entry_id"),
        Step.LOG,
        Fate.PSEUDONYMIZED,
        parts=person_ids,
        secret=("origin_hash", "transaction_id"),
        # A refusal reveals nothing about the media.
        exported="to_jsonb(r) || case when r.category = 'DENIAL'"
        """ then '{"org_id": "", "project_id": "", "version": 0}' else '{}' end::jsonb""",
    ),
    PersonalRows(
        "audit_origins",
        ("address", "user_agent"),
        OF_PERSON.format("k"),
        ("time", "entry_id"),
        Step.LOG,
        parts=person_ids,
        through="audit_entries",
        secret=("salt",),
    ),
    PersonalRows(
        "audit_recent_views",
        ("person_id",),
        OF_PERSON.format("r"),
        ("person_id", "media_id", "version"),
        Step.LOG,
        parts=person_ids,
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
