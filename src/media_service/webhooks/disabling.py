"""Why webhooks are disabled, and what is told about it."""

from dataclasses import replace

from media_service.access.role import Role
from media_service.db.event_types import EventType
from media_service.db.new_event import NOBODY, Event
from media_service.db.transaction import Transaction
from media_service.webhooks.model import Webhook
from media_service.webhooks.queries import webhooks as queries

BY_CALLER = "a caller has disabled it"
GONE = "the receiver answered 410"
ROLE_LOST = "its creator no longer has the role MANAGER"
FAILING = "no delivery has arrived for 5 days"
UNSENT = "no worker has had the key of its secret for 7 days"


async def disable(tx: Transaction, webhook: Webhook, reason: str) -> None:
    """Ends its deliveries, too. Those who manage it get an event, unless it was disabled before."""
    if await queries.disable(tx, webhook.webhook_id, reason):
        if reason != BY_CALLER:  # the audit log has the call of the caller
            tx.audit(
                "webhooks.disable",
                org_id=webhook.creator.org_id,
                project_id=webhook.project_id,
                resource_id=webhook.webhook_id,
                details={"reason": reason},
            )
        # What belongs to a project or an organization is not of the creator, who may have left.
        owned = replace(NOBODY, org_id=webhook.creator.org_id)
        tx.emit(
            Event(
                type=EventType.WEBHOOK_DISABLED,
                subject=f"webhook/{webhook.webhook_id}",
                owner=owned if webhook.resource else webhook.creator,
                project_id=webhook.project_id,
                minimum_role=Role.MANAGER,
                data={"disableReason": reason},
            )
        )
