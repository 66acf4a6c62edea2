"""Servicer of AuditService: converts messages and calls the use cases."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import Message
from mediaservice.v1 import audit_pb2, audit_service_pb2, audit_service_pb2_grpc

from media_service.audit.model import Analytics, Entry, Usage
from media_service.audit.service import AuditService, Period
from media_service.db.audit_entry import Category
from media_service.rpc.audit_export import Writer, csv_header, csv_rows, ndjson
from media_service.rpc.caller import caller
from media_service.rpc.convert import time_from, timestamp
from media_service.rpc.file_stream import NDJSON, send_file
from media_service.rpc.pagination import each, page, page_size

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Request = audit_service_pb2.ExportAuditRequest

CATEGORY_UNSPECIFIED = audit_pb2.AuditEntry.CATEGORY_UNSPECIFIED
DAYS = 30


class AuditServicer(audit_service_pb2_grpc.AuditServiceServicer):
    def __init__(self, audit: AuditService) -> None:
        self._audit = audit

    async def ListMediaAccess(  # noqa: N802
        self, request: audit_service_pb2.ListMediaAccessRequest, context: Context
    ) -> audit_service_pb2.ListMediaAccessResponse:
        size = page_size(request.page_size)
        found, token = await self._audit.history(
            caller(),
            request.media_id,
            category_from(request.category),
            request.page_token,
            size + 1,
        )
        entries, next_page_token = await page(found, size, entry_to_message, token)
        return audit_service_pb2.ListMediaAccessResponse(
            entries=entries, next_page_token=next_page_token
        )

    async def ListActivity(  # noqa: N802
        self, request: audit_service_pb2.ListActivityRequest, context: Context
    ) -> audit_service_pb2.ListActivityResponse:
        size = page_size(request.page_size)
        found, token = await self._audit.activity(
            caller(),
            request.user_id,
            category_from(request.category),
            request.page_token,
            size + 1,
        )
        entries, next_page_token = await page(found, size, entry_to_message, token)
        return audit_service_pb2.ListActivityResponse(
            entries=entries, next_page_token=next_page_token
        )

    async def ListOrganizationAccess(  # noqa: N802
        self, request: audit_service_pb2.ListOrganizationAccessRequest, context: Context
    ) -> audit_service_pb2.ListOrganizationAccessResponse:
        size = page_size(request.page_size)
        found, token = await self._audit.organization_history(
            caller(),
            request.organization_id,
            category_from(request.category),
            request.page_token,
            size + 1,
        )
        entries, next_page_token = await page(found, size, entry_to_message, token)
        return audit_service_pb2.ListOrganizationAccessResponse(
            entries=entries, next_page_token=next_page_token
        )

    async def GetAnalytics(  # noqa: N802
        self, request: audit_service_pb2.GetAnalyticsRequest, context: Context
    ) -> audit_service_pb2.Analytics:
        found = await self._audit.analytics(caller(), request.media_id, request.days or DAYS)
        return analytics_to_message(found)

    async def GetProjectAnalytics(  # noqa: N802
        self, request: audit_service_pb2.GetProjectAnalyticsRequest, context: Context
    ) -> audit_service_pb2.Analytics:
        days = request.days or DAYS
        found = await self._audit.project_analytics(caller(), request.project_id, days)
        return analytics_to_message(found)

    async def GetOrganizationAnalytics(  # noqa: N802
        self, request: audit_service_pb2.GetOrganizationAnalyticsRequest, context: Context
    ) -> audit_service_pb2.Analytics:
        days = request.days or DAYS
        found = await self._audit.organization_analytics(caller(), request.organization_id, days)
        return analytics_to_message(found)

    async def ExportAudit(  # type: ignore[override]  # noqa: N802
        self, request: audit_service_pb2.ExportAuditRequest, context: Context
    ) -> None:
        entries = self._audit.export_media(caller(), request.media_id, period_from(request))
        await send(entries, request.format, context)

    async def ExportProjectAudit(  # type: ignore[override]  # noqa: N802
        self, request: audit_service_pb2.ExportProjectAuditRequest, context: Context
    ) -> None:
        period = period_from(request, request.category)
        entries = self._audit.export_project(caller(), request.project_id, period)
        await send(entries, request.format, context)

    async def ExportOrganizationAudit(  # type: ignore[override]  # noqa: N802
        self, request: audit_service_pb2.ExportOrganizationAuditRequest, context: Context
    ) -> None:
        period = period_from(request, request.category)
        entries = self._audit.export_organization(caller(), request.organization_id, period)
        await send(entries, request.format, context)

    async def ExportActivity(  # type: ignore[override]  # noqa: N802
        self, request: audit_service_pb2.ExportActivityRequest, context: Context
    ) -> None:
        period = period_from(request, request.category)
        entries = self._audit.export_activity(caller(), request.user_id, period)
        await send(entries, request.format, context)


async def send(
    entries: AsyncGenerator[list[Entry], None], form: "Request.Format.ValueType", context: Context
) -> None:
    """Sends entries as a file."""
    if form == Request.CSV:
        await send_file(written(entries, csv_rows, csv_header()), "text/csv", "access.csv", context)
    else:
        await send_file(written(entries, ndjson), NDJSON, "access.ndjson", context)


async def written(
    entries: AsyncGenerator[list[Entry], None], write: Writer, head: bytes = b""
) -> AsyncGenerator[bytes, None]:
    async with aclosing(entries):
        async for group in entries:
            yield head + write(await each(group, entry_to_message))
            head = b""


def period_from(
    request: Message, category: audit_pb2.AuditEntry.Category.ValueType = CATEGORY_UNSPECIFIED
) -> Period:
    start, end = time_from(request, "start_time"), time_from(request, "end_time")
    return Period(start, end, category_from(category))


def category_from(value: audit_pb2.AuditEntry.Category.ValueType) -> Category | None:
    return Category(audit_pb2.AuditEntry.Category.Name(value)) if value else None


def entry_to_message(entry: Entry) -> audit_pb2.AuditEntry:
    return audit_pb2.AuditEntry(
        entry_id=entry.entry_id,
        time=timestamp(entry.time),
        category=audit_pb2.AuditEntry.Category.Value(entry.category),
        action=entry.action,
        actor=audit_pb2.AuditEntry.Actor(
            type=entry.actor_type,
            id=entry.actor_id,
            person_id=entry.person_id,
            credential_id=entry.credential_id,
            address=entry.address,
            user_agent=entry.user_agent,
        ),
        organization_id=entry.org_id,
        project_id=entry.project_id,
        media_id=entry.media_id,
        filename=entry.filename,
        version=entry.version,
        resource_id=entry.resource_id,
        outcome=entry.outcome,
        counted=entry.counted,
        request_count=entry.requests,
        byte_count=entry.bytes,
        request_id=entry.request_id,
        details=entry.details,
    )


def analytics_to_message(analytics: Analytics) -> audit_service_pb2.Analytics:
    return audit_service_pb2.Analytics(
        total=usage_to_message(analytics.total),
        days=[
            audit_service_pb2.Analytics.Day(
                date=day.day.isoformat(), action=day.action, usage=usage_to_message(day.usage)
            )
            for day in analytics.days
        ],
    )


def usage_to_message(usage: Usage) -> audit_service_pb2.Analytics.Usage:
    return audit_service_pb2.Analytics.Usage(
        request_count=usage.requests,
        view_count=usage.views,
        download_count=usage.downloads,
        byte_count=usage.bytes,
        unique_user_count=usage.people,
    )
