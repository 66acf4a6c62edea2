"""Servicer of WebhookService: converts messages and calls the use cases."""

from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import grpc
from google.protobuf import empty_pb2
from mediaservice.v1 import webhook_service_pb2 as messages
from mediaservice.v1 import webhook_service_pb2_grpc

from media_service.access.page_tokens import PageTokens
from media_service.rpc.caller import caller
from media_service.rpc.convert import optional_timestamp, timestamp
from media_service.rpc.pagination import page, page_size
from media_service.webhooks.model import Delivery, Webhook
from media_service.webhooks.service import WebhookService

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
State = messages.WebhookDelivery.State

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
            url=request.url,
            types=list(request.event_types),
            description=request.description,
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
