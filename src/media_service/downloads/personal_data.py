"""The people in the keys of signed URLs."""

from collections.abc import Sequence

from media_service.db.personal_data import Fate, PersonalRows, Row, Step
from media_service.db.transaction import Transaction
from media_service.media import queries


async def hash_signer(tx: Transaction, found: Sequence[Row]) -> int:
    """Keeps the key under a hash of the name: without it, URLs that the person had revoked would
    work again."""
    return sum([await queries.hash_signer(tx, row["principal"]) for row in found])


ROWS = (
    PersonalRows(
        "signed_url_keys",
        ("principal",),
        "r.principal = %(name)s",
        ("principal",),
        Step.ACCOUNTS,
        Fate.PSEUDONYMIZED,
        erase=hash_signer,
    ),
)
