"""Servicer of WebhookService: converts messages and calls the use cases."""

from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

import grpc
from google.protobuf import empty_pb2
from mediaservice.v1 import webhook_service_pb2 as messages
from mediaservice.v1 import webhook_service_pb2_grpc

from media_service.access.page_tokens import PageTokens
from media_service.rpc.caller import caller
from media_service.rpc.convert import optional_timestamp, time_from, timestamp
from media_service.rpc.pagination import page, page_size
from media_service.webhooks.model import Delivery, Webhook
from media_service.webhooks.service import CHANGEABLE, COLUMNS, WebhookService

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
State = messages.WebhookDelivery.State

# How long an old secret signs, too.
OVERLAP = timedelta(days=1)
LISTS = {"event_types", "project_ids"}
PAGE_KEY = [datetime, UUID]
# No cache may keep a secret.
NO_STORE = ("cache-control", "no-store")


class WebhookServicer(webhook_service_pb2_grpc.WebhookServiceServicer):
    def __init__(self, webhooks: WebhookService, page_tokens: PageTokens) -> None:
        self._webhooks = webhooks
        self._page_tokens = page_tokens

    async def CreateWebhook(  # noqa: N802
        self, request: messages.CreateWebhookRequest, context: Context
    ) -> messages.CreateWebhookResponse:
        webhook, secret = await self._webhooks.create(
            caller(),
            request.resource,
            {name: value_from(request, name) for name in COLUMNS},
        )
        await context.send_initial_metadata((("x-http-status", "201"), NO_STORE))
        return messages.CreateWebhookResponse(webhook=to_message(webhook), secret=secret)

    async def GetWebhook(  # noqa: N802
        self, request: messages.GetWebhookRequest, context: Context
    ) -> messages.Webhook:
        return to_message(await self._webhooks.get(caller(), request.webhook_id.lower()))

    async def ListWebhooks(  # noqa: N802
        self, request: messages.ListWebhooksRequest, context: Context
    ) -> messages.ListWebhooksResponse:
        query, size = ("webhooks", caller().owner, request.resource), page_size(request.page_size)
        after = None
        if request.page_token:
            after = tuple(self._page_tokens.open(query, request.page_token, PAGE_KEY))
        found = await self._webhooks.page(caller(), request.resource, after, size + 1)
        webhooks, next_page_token = await page(
            found,
            size,
            to_message,
            lambda last: self._page_tokens.seal(query, [last.create_time, last.webhook_id]),
        )
        return messages.ListWebhooksResponse(webhooks=webhooks, next_page_token=next_page_token)

    async def UpdateWebhook(  # noqa: N802
        self, request: messages.UpdateWebhookRequest, context: Context
    ) -> messages.Webhook:
        names = list(request.update_mask.paths)
        if not names:
            names = [field.name for field, _ in request.ListFields() if field.name in CHANGEABLE]
        changes = {name: value_from(request, name) for name in names}
        updated = await self._webhooks.update(caller(), request.webhook_id.lower(), changes)
        return to_message(updated)

    async def RotateWebhookSecret(  # noqa: N802
        self, request: messages.RotateWebhookSecretRequest, context: Context
    ) -> messages.RotateWebhookSecretResponse:
        overlap = request.ttl.ToTimedelta() if request.HasField("ttl") else OVERLAP
        webhook, secret = await self._webhooks.rotate_secret(
            caller(), request.webhook_id.lower(), overlap
        )
        await context.send_initial_metadata((NO_STORE,))
        return messages.RotateWebhookSecretResponse(webhook=to_message(webhook), secret=secret)

    async def RedeliverWebhookEvents(  # noqa: N802
        self, request: messages.RedeliverWebhookEventsRequest, context: Context
    ) -> messages.RedeliverWebhookEventsResponse:
        webhook_id, event_id = request.webhook_id.lower(), request.event_id.lower()
        since = time_from(request, "start_time") or request.cursor
        if event_id:
            sent = await self._webhooks.redeliver(caller(), webhook_id, event_id)
            return messages.RedeliverWebhookEventsResponse(redelivered=sent)
        sent, place = await self._webhooks.redeliver_since(
            caller(), webhook_id, since, delivered=request.delivered
        )
        return messages.RedeliverWebhookEventsResponse(
            redelivered=sent, next_cursor=str(place or "")
        )

    async def DeleteWebhook(  # noqa: N802
        self, request: messages.DeleteWebhookRequest, context: Context
    ) -> empty_pb2.Empty:
        await self._webhooks.delete(caller(), request.webhook_id.lower())
        return empty_pb2.Empty()

    async def ListWebhookDeliveries(  # noqa: N802
        self, request: messages.ListWebhookDeliveriesRequest, context: Context
    ) -> messages.ListWebhookDeliveriesResponse:
        webhook_id, size = request.webhook_id.lower(), page_size(request.page_size)
        query = ("webhook deliveries", caller().owner, webhook_id)
        after = None
        if request.page_token:
            after = tuple(self._page_tokens.open(query, request.page_token, PAGE_KEY))
        found = await self._webhooks.deliveries(caller(), webhook_id, after, size + 1)
        deliveries, next_page_token = await page(
            found,
            size,
            delivery_to_message,
            lambda last: self._page_tokens.seal(query, [last.create_time, last.event_id]),
        )
        return messages.ListWebhookDeliveriesResponse(
            deliveries=deliveries, next_page_token=next_page_token
        )


def value_from(
    request: messages.CreateWebhookRequest | messages.UpdateWebhookRequest, name: str
) -> Any:
    """A field of `CHANGEABLE`. Of other fields, the name is refused."""
    value: Any = getattr(request, name, None)
    return list(value) if name in LISTS else value


def to_message(webhook: Webhook) -> messages.Webhook:
    return messages.Webhook(
        webhook_id=webhook.webhook_id,
        resource=webhook.resource,
        url=webhook.url,
        event_types=webhook.types,
        description=webhook.description,
        creator=f"{webhook.creator.type}:{webhook.creator.id}",
        create_time=timestamp(webhook.create_time),
        disable_reason=webhook.disable_reason,
        enabled=not webhook.disable_reason,
        project_ids=webhook.project_ids,
        failing_time=optional_timestamp(webhook.failing_since),
        old_secret_expire_time=optional_timestamp(webhook.old_secret_expire_time),
    )


def delivery_to_message(delivery: Delivery) -> messages.WebhookDelivery:
    state = State.PENDING if delivery.next_time else State.FAILED
    return messages.WebhookDelivery(
        event_id=delivery.event_id,
        event_type=delivery.event_type,
        state=State.DELIVERED if delivery.delivered_time else state,
        attempts=delivery.attempts,
        status=delivery.status,
        duration_seconds=delivery.duration.total_seconds() if delivery.duration else 0,
        error=delivery.error,
        response_excerpt=delivery.excerpt,
        create_time=timestamp(delivery.create_time),
        next_attempt_time=optional_timestamp(delivery.next_time),
    )
