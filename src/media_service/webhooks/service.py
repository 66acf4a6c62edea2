"""Use cases of those who have webhooks."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from media_service.access.policy import authorize
from media_service.access.principal import Principal
from media_service.access.role import Role
from media_service.db.database import Database
from media_service.db.event_types import EventType
from media_service.db.locks import Lock, lock
from media_service.db.transaction import Connection, Transaction
from media_service.ids import new_id
from media_service.sharing.errors import resource_not_found
from media_service.webhooks import queries
from media_service.webhooks.access import locate
from media_service.webhooks.addresses import Destinations, NotAllowed
from media_service.webhooks.errors import invalid, too_many, webhook_not_found
from media_service.webhooks.model import Delivery, Webhook
from media_service.webhooks.secrets import SecretBox, new_secret, secret_text

# Of a creator.
MAX_WEBHOOKS = 100
KNOWN_TYPES = {*EventType, *(f"{type_.partition('.')[0]}.*" for type_ in EventType)}


class WebhookService:
    def __init__(self, database: Database, box: SecretBox, destinations: Destinations) -> None:
        self._database = database
        self._box = box
        self._destinations = destinations

    async def create(
        self,
        principal: Principal,
        resource: str,
        *,
        url: str,
        types: Sequence[str],
        description: str,
    ) -> tuple[Webhook, str]:
        """Returns the webhook and its secret. Raises NotFound (RESOURCE_NOT_FOUND),
        PermissionDenied (ROLE_REQUIRED), InvalidArgument (INVALID_FIELD), FailedPrecondition
        (CREDENTIAL_LIMIT_EXCEEDED)."""
        try:
            self._destinations.check(url)
        except NotAllowed as error:
            raise invalid("url", str(error)) from None
        if unknown := sorted(set(types) - KNOWN_TYPES):
            raise invalid("event_types", f"has an unknown type of events: {unknown[0][:100]!r}")
        # What a claim of an administrator gives does not count later, either.
        creator = replace(principal, administrator=False)
        webhook_id, secret = new_id(), new_secret()
        async with self._database.transaction() as tx:
            org_id = await organization_of(tx, creator, resource)
            await lock(tx, Lock.WEBHOOKS, creator.type, creator.id)
            if await queries.count(tx, creator) >= MAX_WEBHOOKS:
                raise too_many(MAX_WEBHOOKS)
            await queries.insert(
                tx,
                webhook_id,
                resource,
                org_id,
                creator,
                url=url,
                types=types,
                description=description,
                secret=self._box.seal(webhook_id, secret),
            )
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
            return await queries.deliveries(db, webhook_id, after, limit)


async def organization_of(db: Connection, principal: Principal, resource: str) -> str:
    """The organization of a resource whose webhooks the caller manages."""
    found = await locate(db, resource, principal.owner, principal)
    return authorize(found, resource_not_found(resource), Role.MANAGER).org_id


async def load(db: Connection, principal: Principal, webhook_id: str) -> Webhook:
    """A webhook that the caller manages. It does not exist for others."""
    webhook = (await queries.get(db, [webhook_id])).get(webhook_id)
    role = None
    if webhook:
        role = await locate(db, webhook.resource, webhook.creator, principal)
    managed = role if role and role.role >= Role.MANAGER else None
    authorize(managed, webhook_not_found(webhook_id), Role.MANAGER)
    assert webhook  # noqa: S101 - it has a role
    return webhook


def record(tx: Transaction, webhook: Webhook) -> None:
    """Records a change in the audit log."""
    kind, _, name = webhook.resource.partition(":")
    tx.audit(
        org_id=webhook.creator.org_id,
        project_id=name if kind == "project" else "",
        resource_id=webhook.webhook_id,
    )
