"""SQL of batches that are jobs."""

from collections.abc import Sequence
from typing import Any

from psycopg.types.json import Jsonb

from media_service.access.principal import Principal
from media_service.batches.actions import Action
from media_service.batches.model import Outcome, StoredBatch
from media_service.batches.stored import recipient_of, to_json
from media_service.db.transaction import Connection
from media_service.errors import MediaError


async def insert(
    db: Connection,
    batch_id: str,
    principal: Principal,
    filter_text: str,
    action: Action[Any],
    selected: int,
) -> None:
    await db.execute(
        "insert into batches (batch_id, caller, principal, filter, action, recipient, selected)"
        " values (%s, %s, %s, %s, %s, %s, %s)",
        (
            batch_id,
            principal.grantee,
            Jsonb(principal.as_json()),
            filter_text,
            Jsonb(to_json(action)),
            recipient_of(action),
            selected,
        ),
    )


async def get(db: Connection, batch_id: str) -> StoredBatch | None:
    rows = await db.execute(
        "select principal, filter, action, reached_time, reached_id::text as reached_id, selected,"
        " processed, jsonb_array_length(errors) as errors from batches where batch_id = %s",
        (batch_id,),
    )
    row = await rows.fetchone()
    if row is None:
        return None
    return StoredBatch(
        Principal.from_json(row["principal"]),
        row["filter"],
        row["action"],
        (row["reached_time"], row["reached_id"]),
        row["selected"],
        row["processed"],
        row["errors"],
    )


async def advance(
    db: Connection,
    batch_id: str,
    outcomes: Sequence[Outcome],
    *,
    changed: int,
    errors: Sequence[Outcome],
) -> None:
    """Counts what became of media, and moves the place of the batch behind the last of them. Keeps
    `errors`."""
    kept = [
        {
            "media_id": each.media_id,
            "reason": each.result.reason,
            "message": each.result.message,
            "metadata": each.result.metadata,
        }
        for each in errors
        if isinstance(each.result, MediaError)
    ]
    await db.execute(
        """
        update batches b
        set processed = b.processed + %(processed)s, changed = b.changed + %(changed)s,
            failed = b.failed + %(failed)s, errors = b.errors || %(errors)s,
            reached_time = m.create_time, reached_id = m.media_id
        from media m where b.batch_id = %(batch_id)s and m.media_id = %(last)s
        """,
        {
            "batch_id": batch_id,
            "processed": len(outcomes),
            "changed": changed,
            "failed": sum(isinstance(each.result, MediaError) for each in outcomes),
            "errors": Jsonb(kept),
            "last": outcomes[-1].media_id,
        },
    )
