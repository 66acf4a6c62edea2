"""The people in grants, groups and projects."""

from collections.abc import Sequence

from media_service.db.personal_data import (
    OWNED,
    OWNER_COLUMNS,
    TO_PSEUDONYM,
    Fate,
    PersonalRows,
    Row,
    Step,
    organizations_of,
)
from media_service.db.transaction import Transaction
from media_service.sharing import queries

# With `offset`, PostgreSQL looks into the indexes for each project, and does not hash all media.
EMPTY = """
    not exists (
        select from media m where m.project_id = r.project_id and m.project_id <> '' offset 0
    )
    and not exists (
        select from uploads u
        where u.project_id = r.project_id and u.project_id <> ''
          and u.state in ('ACTIVE', 'VERIFYING') offset 0
    )
    and not exists (
        select from collections k
        where k.project_id = r.project_id and k.project_id <> '' offset 0
    )
"""


async def remove_projects(tx: Transaction, found: Sequence[Row]) -> int:
    """Removes empty projects outside of organizations, with their grants."""
    return sum([await queries.delete_project(tx, row["project_id"]) for row in found])


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
        parts=organizations_of,
        erase=remove_projects,
    ),
    PersonalRows(
        "projects",
        OWNER_COLUMNS,
        f"{OWNED} and r.org_id = '' and not ({EMPTY})",
        ("create_time", "project_id"),
        Step.CONTAINERS,
        Fate.PSEUDONYMIZED,
        parts=organizations_of,
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
        parts=organizations_of,
        changes="owner_type = 'organization', owner_id = org_id, update_time = now()",
    ),
)
