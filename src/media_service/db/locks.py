"""Locks of what has no row of its own, until the end of a transaction.

They let changes wait for each other that count the same rows, so that each sees what the one before
has added or removed.
"""

from enum import IntEnum

from media_service.db.transaction import Connection


class Lock(IntEnum):
    """What is locked. The numbers are classes of advisory locks."""

    GRANTS = 1  # on a resource; of an organization, also its groups
    SERVICE_ACCOUNTS = 2  # of an owner
    SHARE_LINKS = 3  # of a creator in an organization
    WEBHOOKS = 4  # of a creator, and of a resource


async def lock(db: Connection, what: Lock, *name: str) -> None:
    """Two names may share a lock: only a hash of it distinguishes them."""
    key = "\n".join(name)
    await db.execute("select pg_advisory_xact_lock(%s, hashtext(%s))", (what.value, key))
