"""SQL that erases a person from the log."""

from media_service.db.transaction import Transaction


async def erase(tx: Transaction, kind: str, actor_id: str) -> int:
    """Removes the name, the addresses and the programs of a caller. The entries stay. Returns the
    number of entries that lost an address."""
    rows = await tx.execute(
        """
        with person as (
            delete from audit_people where type = %s and id = %s returning person_id
        ), viewed as (
            delete from audit_recent_views v using person p where v.person_id = p.person_id
        )
        delete from audit_origins o using audit_entries e, person p
        where e.person_id = p.person_id and o.time = e.time and o.entry_id = e.entry_id
        """,
        (kind, actor_id),
    )
    return rows.rowcount
