"""The people in grants, groups and projects."""

from media_service.db.personal_data import (
    OWNED,
    OWNER_COLUMNS,
    TO_PSEUDONYM,
    Fate,
    Params,
    PersonalRows,
    Step,
)
from media_service.db.transaction import Transaction
from media_service.sharing import queries

EMPTY = """
    not exists (select from media m where m.project_id = r.project_id)
    and not exists (
        select from uploads u
        where u.project_id = r.project_id and u.state in ('ACTIVE', 'VERIFYING')
    )
"""


async def remove_project(tx: Transaction, params: Params) -> int:
    """Removes an empty project outside of organizations, with its grants."""
    rows = await tx.execute(
        f"select project_id from projects r where {OWNED} and r.org_id = '' and {EMPTY}"
        " limit 1 for update".encode(),
        params,
    )
    row = await rows.fetchone()
    return int(row is not None and await queries.delete_project(tx, row["project_id"]))


ROWS = (
    PersonalRows(
        "access_grants", ("grantee",), "r.grantee = %(name)s", ("resource", "grantee"), Step.ACCESS
    ),
    # To act for the person.
    PersonalRows(
        "access_grants",
        ("resource",),
        "starts_with(r.resource, 'owner:')"
        " and substr(r.resource, strpos(r.resource, '/') + 1) = %(name)s",
        ("resource", "grantee"),
        Step.ACCESS,
    ),
    PersonalRows(
        "access_grants",
        ("created_by",),
        "r.created_by = %(name)s",
        ("resource", "grantee"),
        Step.ACCESS,
        Fate.PSEUDONYMIZED,
        changes="created_by = 'erased:' || %(pseudonym)s",
    ),
    PersonalRows(
        "group_members", ("member",), "r.member = %(name)s", ("group_id", "member"), Step.ACCESS
    ),
    # Of the projects of the person outside of organizations, those stay in which others have media.
    PersonalRows(
        "projects",
        OWNER_COLUMNS,
        f"{OWNED} and r.org_id = '' and {EMPTY}",
        ("create_time", "project_id"),
        Step.CONTAINERS,
        by_owner=True,
        erase=remove_project,
    ),
    PersonalRows(
        "projects",
        OWNER_COLUMNS,
        f"{OWNED} and r.org_id = '' and not ({EMPTY})",
        ("create_time", "project_id"),
        Step.CONTAINERS,
        Fate.PSEUDONYMIZED,
        by_owner=True,
        changes=f"{TO_PSEUDONYM}, update_time = now()",
    ),
    # An organization pays for its projects, and its owners have every role on them.
    PersonalRows(
        "projects",
        OWNER_COLUMNS,
        f"{OWNED} and r.org_id <> ''",
        ("create_time", "project_id"),
        Step.CONTAINERS,
        Fate.PSEUDONYMIZED,
        by_owner=True,
        changes="owner_type = 'organization', owner_id = org_id, update_time = now()",
    ),
)
