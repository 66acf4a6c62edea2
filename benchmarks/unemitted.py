"""`python -m benchmarks.unemitted`: the gRPC server without events, to measure what they cost. Its
database must be without the triggers that emit some."""

import sys

import psycopg

from media_service.__main__ import main
from media_service.db import database
from media_service.db.transaction import Transaction

EMITTING = """
    select tgname, tgrelid::regclass::text from pg_trigger
    where tgname like 'emit_%' and not tgisinternal
"""


def drop_triggers(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as db:
        for trigger, table in db.execute(EMITTING).fetchall():
            db.execute(f"drop trigger {trigger} on {table}".encode())


def forget(*_: object) -> None:
    """In place of `Transaction.emit`."""


if __name__ == "__main__":
    Transaction.emit = forget  # type: ignore[assignment,method-assign]
    database.EVENTFUL = ()  # type: ignore[assignment]
    sys.argv = ["media-service", "serve"]
    main()
