"""Claims the key of a call that creates one resource, in the transaction that creates it."""

from media_service.db.transaction import Transaction
from media_service.idempotency import queries
from media_service.idempotency.model import KeyClaim, RequestKey
from media_service.ids import new_id


async def claim(tx: Transaction, key: RequestKey | None) -> tuple[str, bool]:
    """The id of the resource to create, and whether an earlier call with the key created it. Raises
    Aborted (IDEMPOTENCY_CONFLICT)."""
    wanted = new_id()
    if key is None:
        return wanted, False
    claimed, _ = await queries.claim(tx, KeyClaim(key, wanted))
    return claimed, claimed != wanted
