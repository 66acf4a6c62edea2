"""Erases a person from the audit log, of which the digests remain valid."""

from media_service.access.owner import Owner
from media_service.audit.queries import erasing
from media_service.db.transaction import Transaction


async def erase_person(tx: Transaction, person: Owner) -> int:
    """From now on, the entries of the person name nobody. If the person calls again, the log knows
    them under another random id. Returns the number of entries that lost an address."""
    return await erasing.erase(tx, person.type, person.id)
