"""Calls of WebhookService."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from mediaservice.v1 import webhook_service_pb2 as messages

from tests.support.rpc.server import Caller


async def create(caller: Caller, url: str, **fields: Any) -> messages.CreateWebhookResponse:
    request = messages.CreateWebhookRequest(url=url, **fields)
    return await caller.call(caller.webhooks.CreateWebhook, request)


async def get(caller: Caller, webhook_id: str) -> messages.Webhook:
    request = messages.GetWebhookRequest(webhook_id=webhook_id)
    return await caller.call(caller.webhooks.GetWebhook, request)


async def listed(caller: Caller, **fields: Any) -> messages.ListWebhooksResponse:
    request = messages.ListWebhooksRequest(**fields)
    return await caller.call(caller.webhooks.ListWebhooks, request)


async def update(
    caller: Caller, webhook_id: str, paths: Iterable[str] = (), **fields: Any
) -> messages.Webhook:
    request = messages.UpdateWebhookRequest(webhook_id=webhook_id, **fields)
    request.update_mask.paths.extend(paths)
    return await caller.call(caller.webhooks.UpdateWebhook, request)


async def rotate(
    caller: Caller, webhook_id: str, ttl: timedelta | None = None
) -> messages.RotateWebhookSecretResponse:
    request = messages.RotateWebhookSecretRequest(webhook_id=webhook_id)
    if ttl is not None:
        request.ttl.FromTimedelta(ttl)
    return await caller.call(caller.webhooks.RotateWebhookSecret, request)


async def redeliver(
    caller: Caller, webhook_id: str, **which: Any
) -> messages.RedeliverWebhookEventsResponse:
    request = messages.RedeliverWebhookEventsRequest(webhook_id=webhook_id, **which)
    return await caller.call(caller.webhooks.RedeliverWebhookEvents, request)


async def delete(caller: Caller, webhook_id: str) -> None:
    request = messages.DeleteWebhookRequest(webhook_id=webhook_id)
    await caller.call(caller.webhooks.DeleteWebhook, request)


async def deliveries(
    caller: Caller, webhook_id: str, **fields: Any
) -> messages.ListWebhookDeliveriesResponse:
    request = messages.ListWebhookDeliveriesRequest(webhook_id=webhook_id, **fields)
    return await caller.call(caller.webhooks.ListWebhookDeliveries, request)
