"""Watch tickets: each opens one event stream for a client that cannot send a token.

A URL with a ticket may become known, so it opens a stream only once. The client that opened it
reconnects with the same URL and a key, which only that stream has told it.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from media_service.access.principal import Principal
from media_service.clock import now
from media_service.db.database import Database
from media_service.errors import Reason, Unauthenticated
from media_service.jobs.periodic import Batches
from media_service.watches import queries

TTL = timedelta(seconds=60)
# How long a client can reconnect, from its first connection on.
RECONNECT_TTL = timedelta(hours=1)
BATCH = 1000


@dataclass(frozen=True, slots=True)
class Watched:
    """A resource that can be watched. `field`: the request field that names it ("upload_id",
    "job_id"). `id`: a UUID."""

    field: str
    id: str


# All events that the caller may see.
EVENTS = Watched("events", "00000000-0000-0000-0000-000000000000")


@dataclass(frozen=True, slots=True)
class Ticket:
    """`secret`: 43 characters that are safe in URLs."""

    secret: str
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class Opened:
    """`principal`: the caller that the ticket represents. `key`: what reconnects, 22 characters."""

    principal: Principal
    key: str


class WatchTickets:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, principal: Principal, watched: Watched) -> Ticket:
        """A ticket that represents the caller, who must have permission to read the resource."""
        ticket = Ticket(secrets.token_urlsafe(32), now() + TTL)
        async with self._database.connection() as db:
            await queries.add(
                db,
                digest(ticket.secret),
                watched.field,
                watched.id,
                principal.as_json(),
                ticket.expire_time,
            )
        return ticket

    async def redeem(self, secret: str, watched: Watched, key: str = "") -> Opened:
        """Redeems a ticket. Each can be redeemed once, and again with the key of the first time.

        Raises Unauthenticated (TICKET_INVALID) if it was redeemed before, has expired, is for
        another resource, or never existed.
        """
        async with self._database.connection() as db:
            found = key and await queries.reconnect(
                db, reconnect_digest(secret, key), watched.field, watched.id
            )
            if not found:
                key = secrets.token_urlsafe(16)
                found = await queries.redeem(
                    db,
                    digest(secret),
                    watched.field,
                    watched.id,
                    reconnect_digest(secret, key),
                    now() + RECONNECT_TTL,
                )
        if not found:
            raise Unauthenticated(
                Reason.TICKET_INVALID,
                "The ticket has expired, was used before, or is for another resource. Create a new"
                " one with CreateWatchTicket.",
            )
        return Opened(Principal.from_json(found), key)


def digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def reconnect_digest(secret: str, key: str) -> bytes:
    return hashlib.sha256(digest(secret) + key.encode()).digest()


async def remove_expired_tickets(database: Database) -> Batches:
    while True:
        async with database.connection() as db:
            removed = await queries.delete_expired_tickets(db, BATCH)
        yield removed
        if removed < BATCH:
            return
