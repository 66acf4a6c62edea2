"""Use cases of those who have webhooks."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from media_service.access.policy import authorize
from media_service.access.principal import Principal
from media_service.access.role import Role
from media_service.db.database import Database
from media_service.db.event_types import EventType
from media_service.db.locks import Lock, lock
from media_service.db.notifications import WebhookDue
from media_service.db.transaction import Connection, Transaction
from media_service.events import queries as events
from media_service.events.model import Cursor
from media_service.events.service import check
from media_service.ids import new_id
from media_service.sharing.errors import resource_not_found
from media_service.update_mask import check_changeable
from media_service.webhooks.access import locate
from media_service.webhooks.addresses import Destinations, NotAllowed
from media_service.webhooks.disabling import BY_CALLER, disable
from media_service.webhooks.errors import (
    delivery_not_found,
    invalid,
    too_many,
    webhook_disabled,
    webhook_not_found,
)
from media_service.webhooks.model import Delivery, Webhook
from media_service.webhooks.queries import log
from media_service.webhooks.queries import webhooks as queries
from media_service.webhooks.secrets import SecretBox, SecretLost, new_secret, secret_text

# Of a creator, and of a resource.
MAX_WEBHOOKS = 100
KNOWN_TYPES = {*EventType, *(f"{type_.partition('.')[0]}.*" for type_ in EventType)}
# The fields that an update changes, and their columns.
COLUMNS = {
    "url": "url",
    "event_types": "types",
    "project_ids": "project_ids",
    "description": "description",
}
CHANGEABLE = (*COLUMNS, "enabled")
# Of one call that sends events again: how many it reads, and how many it sends.
EXAMINED = 10_000
REDELIVERED = 1000


class WebhookService:
    """`source`: of the events that are sent again."""

    def __init__(
        self, database: Database, box: SecretBox, destinations: Destinations, source: str
    ) -> None:
        self._database = database
        self._box = box
        self._destinations = destinations
        self._source = source

    async def create(
        self, principal: Principal, resource: str, settings: Mapping[str, Any]
    ) -> tuple[Webhook, str]:
        """Returns the webhook and its secret. `settings`: the fields of `COLUMNS`. Raises NotFound
        (RESOURCE_NOT_FOUND), PermissionDenied (ROLE_REQUIRED), InvalidArgument (INVALID_FIELD),
        FailedPrecondition (CREDENTIAL_LIMIT_EXCEEDED)."""
        columns = self._columns(settings, resource)
        # What a claim of an administrator gives does not count later, either.
        creator = replace(principal, administrator=False)
        webhook_id, secret = new_id(), new_secret()
        async with self._database.transaction() as tx:
            org_id = await organization_of(tx, creator, resource)
            await lock(tx, Lock.WEBHOOKS, creator.type, creator.id)
            if resource:
                await lock(tx, Lock.WEBHOOKS, resource)
            if await queries.count(tx, creator, resource) >= MAX_WEBHOOKS:
                raise too_many(MAX_WEBHOOKS)
            sealed = self._box.seal(webhook_id, secret)
            await queries.insert(tx, webhook_id, resource, org_id, creator, sealed, columns)
            created = await load(tx, creator, webhook_id)
            record(tx, created)
        return created, secret_text(secret)

    async def get(self, principal: Principal, webhook_id: str) -> Webhook:
        """Raises NotFound (WEBHOOK_NOT_FOUND)."""
        async with self._database.connection() as db:
            return await load(db, principal, webhook_id)

    async def page(
        self, principal: Principal, resource: str, after: tuple[datetime, str] | None, limit: int
    ) -> list[Webhook]:
        """Raises NotFound (RESOURCE_NOT_FOUND), PermissionDenied (ROLE_REQUIRED)."""
        async with self._database.connection() as db:
            await organization_of(db, principal, resource)
            owner = None if resource else principal.owner
            return await queries.of_resource(db, resource, owner, after, limit)

    async def update(
        self, principal: Principal, webhook_id: str, changes: Mapping[str, Any]
    ) -> Webhook:
        """Changes some of the fields `CHANGEABLE`. Raises NotFound (WEBHOOK_NOT_FOUND),
        InvalidArgument (INVALID_UPDATE_MASK, INVALID_FIELD)."""
        check_changeable(changes, CHANGEABLE)
        async with self._database.transaction() as tx:
            await queries.lock(tx, webhook_id)
            found = await load(tx, principal, webhook_id)
            settings = {name: value for name, value in changes.items() if name in COLUMNS}
            if settings:
                columns = self._columns(settings, found.resource)
                await queries.update(tx, webhook_id, columns)
            if changes.get("enabled") and found.disable_reason:
                await enable(tx, found)
            elif changes.get("enabled") is False:
                await disable(tx, found, BY_CALLER)
            record(tx, found, {"fields": ",".join(sorted(changes))})
            return await load(tx, principal, webhook_id)

    async def rotate_secret(
        self, principal: Principal, webhook_id: str, overlap: timedelta
    ) -> tuple[Webhook, str]:
        """Returns the webhook and its new secret. The old one signs, too, for as long as `overlap`.
        Raises NotFound (WEBHOOK_NOT_FOUND)."""
        secret = new_secret()
        async with self._database.transaction() as tx:
            await queries.lock(tx, webhook_id)
            found = await load(tx, principal, webhook_id)
            try:
                old, _ = self._box.open(webhook_id, found.sealed)
            except SecretLost:
                old = None  # it cannot sign
            sealed = self._box.seal(webhook_id, secret, old if overlap else None)
            await queries.replace_secret(tx, webhook_id, sealed, overlap)
            record(tx, found)
            return await load(tx, principal, webhook_id), secret_text(secret)

    async def delete(self, principal: Principal, webhook_id: str) -> None:
        """Raises NotFound (WEBHOOK_NOT_FOUND)."""
        async with self._database.transaction() as tx:
            found = await load(tx, principal, webhook_id)
            await queries.remove(tx, webhook_id)
            record(tx, found)

    async def deliveries(
        self, principal: Principal, webhook_id: str, after: tuple[datetime, str] | None, limit: int
    ) -> list[Delivery]:
        """Raises NotFound (WEBHOOK_NOT_FOUND)."""
        async with self._database.connection() as db:
            await load(db, principal, webhook_id)
            return await log.deliveries(db, webhook_id, after, limit)

    async def redeliver(self, principal: Principal, webhook_id: str, event_id: str) -> int:
        """Sends an event in the log again. Returns 1. Raises NotFound (WEBHOOK_NOT_FOUND,
        WEBHOOK_DELIVERY_NOT_FOUND), FailedPrecondition (WEBHOOK_DISABLED)."""
        async with self._database.transaction() as tx:
            found = await load_enabled(tx, principal, webhook_id)
            if not (event := await log.event_of(tx, webhook_id, event_id)):
                raise delivery_not_found(event_id)
            sent = await log.send_again(
                tx, webhook_id, [event], self._source, delivered=True, waiting=True
            )
            record(tx, found, {"event": event_id})
            tx.notify(WebhookDue())
        return sent

    async def redeliver_since(
        self,
        principal: Principal,
        webhook_id: str,
        since: datetime | str,
        *,
        delivered: bool,
    ) -> tuple[int, Cursor | None]:
        """Sends the events since a time, or behind a cursor, that have not arrived and do not wait;
        `delivered`: also those that have arrived. Returns how many, and the cursor of the next
        call; None: there are no more. Raises NotFound (WEBHOOK_NOT_FOUND), InvalidArgument
        (INVALID_FIELD), FailedPrecondition (WEBHOOK_DISABLED, CURSOR_EXPIRED)."""
        async with self._database.transaction() as tx:
            found = await load_enabled(tx, principal, webhook_id)
            removed, newest = await events.bounds(tx)
            if isinstance(since, str):
                if not (place := Cursor.parse(since)):
                    raise invalid("cursor", "is not a cursor of an event")
                check(place, removed, newest)
            else:
                place = await log.cursor_at(tx, newest.epoch, since)
            page = await log.matching_after(tx, webhook_id, place, EXAMINED, REDELIVERED)
            sent = await log.send_again(
                tx, webhook_id, page.events, self._source, delivered=delivered, waiting=False
            )
            record(tx, found, {"since": str(place), "deliveries": str(sent)})
            if sent:
                tx.notify(WebhookDue())
        return sent, page.end if page.full else None

    def _columns(self, settings: Mapping[str, Any], resource: str) -> dict[str, Any]:
        """Settings as columns. Raises InvalidArgument (INVALID_FIELD)."""
        if "url" in settings:
            try:
                self._destinations.check(settings["url"])
            except NotAllowed as error:
                raise invalid("url", str(error)) from None
        if unknown := sorted(set(settings.get("event_types", ())) - KNOWN_TYPES):
            raise invalid("event_types", f"has an unknown type of events: {unknown[0][:100]!r}")
        if settings.get("project_ids") and resource.startswith("project:"):
            raise invalid("project_ids", "must be empty: the webhook is that of one project")
        return {COLUMNS[name]: value for name, value in settings.items()}


async def organization_of(db: Connection, principal: Principal, resource: str) -> str:
    """The organization of a resource whose webhooks the caller manages."""
    found = await locate(db, resource, principal.owner, principal)
    return authorize(found, resource_not_found(resource), Role.MANAGER).org_id


async def load(db: Connection, principal: Principal, webhook_id: str) -> Webhook:
    """A webhook that the caller manages. It does not exist for others."""
    webhook = await queries.get(db, webhook_id)
    role = None
    if webhook:
        role = await locate(db, webhook.resource, webhook.creator, principal)
    managed = role if role and role.role >= Role.MANAGER else None
    authorize(managed, webhook_not_found(webhook_id), Role.MANAGER)
    assert webhook  # noqa: S101 - it has a role
    return webhook


async def load_enabled(db: Connection, principal: Principal, webhook_id: str) -> Webhook:
    webhook = await load(db, principal, webhook_id)
    if webhook.disable_reason:
        raise webhook_disabled(webhook_id, webhook.disable_reason)
    return webhook


async def enable(tx: Transaction, webhook: Webhook) -> None:
    """Raises InvalidArgument (INVALID_FIELD) if its creator may not have it any more."""
    creator = await locate(tx, webhook.resource, webhook.creator, webhook.principal)
    if creator is None or creator.role < Role.MANAGER:
        raise invalid("enabled", "must be false: the creator no longer has the role MANAGER")
    await queries.enable(tx, webhook.webhook_id)


def record(tx: Transaction, webhook: Webhook, details: Mapping[str, str] | None = None) -> None:
    """Records a change in the audit log."""
    tx.audit(
        org_id=webhook.creator.org_id,
        project_id=webhook.project_id,
        resource_id=webhook.webhook_id,
        details=details,
    )
