"""The chain of digests, which shows whether entries of the audit log were changed, added or
removed.

The digest of an hour is SHA-256 over the digest before it, the hour, and the digest of its entries.
An hour is sealed when no writer can add to it any more. A person who can change the tables can
compute a new chain: keep the last digest that `audit verify` prints elsewhere, and pass it
to the next run.
"""

import hashlib
import json
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from media_service.audit.queries import digests as queries
from media_service.audit.queries.digests import Digest
from media_service.clock import now
from media_service.db.audit_entry import Origin
from media_service.db.database import Database
from media_service.db.transaction import Connection
from media_service.jobs.periodic import Batches

log = logging.getLogger(__name__)

HOUR = timedelta(hours=1)
# Before the first hour.
START = bytes(32)
FIELDS = (
    *("time", "entry_id", "category", "action", "actor_type", "person_id", "org_id", "project_id"),
    *("media_id", "version", "resource_id", "outcome", "counted", "requests", "bytes"),
    *("credential_id", "request_id", "origin_hash"),
)


def canonical(row: Mapping[str, Any]) -> bytes:
    """One line of JSON: an array of the fields, in ASCII, without spaces. Times are in UTC, with
    microseconds. Details follow if there are any: entries of earlier releases have none."""
    values = [
        utc(value) if isinstance(value, datetime) else value
        for value in (row[name] for name in FIELDS)
    ]
    if row["details"]:
        values.append(row["details"])
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"


def utc(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds")


async def digest_of(db: Connection, hour: datetime, before: bytes) -> Digest:
    """The digest of an hour, from its entries."""
    count, content = 0, hashlib.sha256()
    async for row in queries.entries(db, hour, hour + HOUR):
        content.update(canonical(row))
        count += 1
    return Digest(hour, count, content.digest(), link(before, hour, content.digest()))


def link(before: bytes, hour: datetime, content: bytes) -> bytes:
    return hashlib.sha256(before + utc(hour).encode() + content).digest()


async def seal_hours(database: Database) -> Batches:
    """Seals the hours that have ended, in order."""
    while True:
        async with database.connection() as db:
            hour = await queries.next_hour(db)
            if hour is None or hour + HOUR > now():
                return
            await queries.remove_dead_writers(db)
            if not await queries.can_be_sealed(db, hour + HOUR):
                return
            before = await queries.get(db, hour - HOUR)
        async with database.long_connection() as db:
            sealed = await digest_of(db, hour, before.digest if before else START)
        async with database.transaction() as tx:
            added = await queries.add(tx, sealed)
        if added:
            log.info(
                "audit hour %s is sealed: %d entries, digest %s",
                *(utc(hour), sealed.entries, sealed.digest.hex()),
            )
        yield int(added)


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification found. `broken`: what is wrong with the first hour that is not as it was
    sealed; empty if there is none."""

    hours: int
    entries: int
    last: Digest | None
    broken: str = ""


async def verify(database: Database, keep_audit: timedelta, known: bytes | None) -> Verified:
    """Computes the chain again, and the ids of callers from their names. Of hours that are older
    than `keep_audit`, only the digests are left. `known`: a digest that the chain must contain.
    """
    hours = count = 0
    last: Digest | None = None
    async with database.long_connection() as db:
        async for digest, broken in examine(db, now() - keep_audit):
            if broken:
                return Verified(hours, count, last, broken)
            hours, count, last = hours + 1, count + digest.entries, digest
            known = None if digest.digest == known else known
        if renamed := await queries.renamed_person(db):
            return Verified(hours, count, last, f"the name of the caller {renamed} was changed")
    if known is not None:
        return Verified(hours, count, last, "the chain does not contain the given digest")
    return Verified(hours, count, last)


async def examine(db: Connection, kept_since: datetime) -> AsyncIterator[tuple[Digest, str]]:
    """Each sealed hour, and what is wrong with it."""
    before, expected = START, None
    for digest in await queries.all_digests(db):
        yield digest, await problem(db, digest, before, expected, kept_since)
        before, expected = digest.digest, digest.hour + HOUR


async def problem(
    db: Connection, digest: Digest, before: bytes, expected: datetime | None, kept_since: datetime
) -> str:
    hour = digest.hour
    if expected not in {None, hour}:
        return f"{utc(expected or hour)}: the digest of the hour is missing"
    if digest.digest != link(before, hour, digest.content):
        return f"{utc(hour)}: the digest does not follow from the one before it"
    # A day is dropped as a whole.
    if hour < kept_since + timedelta(days=1):
        return ""
    found = await digest_of(db, hour, before)
    if found != digest:
        return (
            f"{utc(hour)}: the entries are not those that were sealed"
            f" ({digest.entries} then, {found.entries} now)"
        )
    async for row in queries.origins(db, hour, hour + HOUR):
        origin = Origin("", address=row["address"], user_agent=row["user_agent"])
        if origin.hash(row["salt"]) != row["origin_hash"]:
            return f"{utc(hour)}: the address or the program of a client was changed"
    return ""
