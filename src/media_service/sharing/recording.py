"""The names of resources in the audit log."""

from media_service.access.owner import USER, Owner
from media_service.db.transaction import Transaction
from media_service.sharing.resources import Resource


async def name_in_log(tx: Transaction, resource: Resource) -> str:
    """The name of a resource, in which the random id of a user stands for their own, so that the
    log forgets who it was when it erases the user."""
    if resource.kind == USER:
        return f"{USER}:{await tx.person_id(USER, resource.id)}"
    if resource.kind == "owner" and (owner := resource.owner).type == USER:
        return f"owner:{owner.org_id}/{USER}:{await tx.person_id(USER, owner.id)}"
    return str(resource)


async def grantee_in_log(tx: Transaction, grantee: str) -> str:
    """The same for a grantee, such as "user:ann"."""
    kind, _, id_ = grantee.partition(":")
    return f"{USER}:{await tx.person_id(USER, id_)}" if kind == USER else grantee


async def owner_in_log(tx: Transaction, owner: Owner) -> str:
    return await grantee_in_log(tx, f"{owner.type}:{owner.id}")
