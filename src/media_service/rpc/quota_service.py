"""Servicer of QuotaService: converts messages and calls the use cases."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import grpc
from mediaservice.v1 import media_pb2, quota_service_pb2, quota_service_pb2_grpc

from media_service.errors import InvalidArgument, Reason
from media_service.quotas.model import Drift, Limits, Measure, Quota, Stored, Usage
from media_service.quotas.service import QuotaService
from media_service.rpc.caller import caller
from media_service.rpc.convert import optional_timestamp

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Name = quota_service_pb2.QuotaMeasure.Name


class QuotaServicer(quota_service_pb2_grpc.QuotaServiceServicer):
    def __init__(self, quotas: QuotaService) -> None:
        self._quotas = quotas

    async def GetQuota(  # noqa: N802
        self, request: quota_service_pb2.GetQuotaRequest, context: Context
    ) -> quota_service_pb2.Quota:
        return quota_to_message(await self._quotas.get(caller(), request.account))

    async def GetUsage(  # noqa: N802
        self, request: quota_service_pb2.GetUsageRequest, context: Context
    ) -> quota_service_pb2.Usage:
        return usage_to_message(await self._quotas.usage(caller(), request.account, request.days))

    async def SetQuota(  # noqa: N802
        self, request: quota_service_pb2.SetQuotaRequest, context: Context
    ) -> quota_service_pb2.Quota:
        limits = limits_from(request.limits)
        return quota_to_message(await self._quotas.put(caller(), request.account, limits))

    async def RecalculateQuota(  # noqa: N802
        self, request: quota_service_pb2.RecalculateQuotaRequest, context: Context
    ) -> quota_service_pb2.RecalculateQuotaResponse:
        found = await self._quotas.recalculate(caller(), request.account)
        return quota_service_pb2.RecalculateQuotaResponse(
            quota=quota_to_message(found.quota), drifts=map(drift_to_message, found.drifts)
        )


def limits_from(messages: Iterable[quota_service_pb2.QuotaLimit]) -> Mapping[Measure, Limits]:
    """Raises InvalidArgument (INVALID_FIELD) if a measure has two limits."""
    found: dict[Measure, Limits] = {}
    for message in messages:
        measure = Measure(Name.Name(message.measure))
        if measure in found:
            why = f"must have at most one limit for {measure}"
            raise InvalidArgument(Reason.INVALID_FIELD, f"The limits {why}.", (("limits", why),))
        found[measure] = Limits(
            message.limit if message.HasField("limit") else None,
            message.soft_limit if message.HasField("soft_limit") else None,
        )
    return found


def quota_to_message(quota: Quota) -> quota_service_pb2.Quota:
    entries = [
        quota_service_pb2.QuotaEntry(
            limit=quota_service_pb2.QuotaLimit(
                measure=Name.Value(measure),
                limit=quota.entries[measure].limits.hard,
                soft_limit=quota.entries[measure].limits.soft,
            ),
            reserved=quota.entries[measure].amount.reserved,
            used=quota.entries[measure].amount.used,
            soft_exceed_time=optional_timestamp(quota.entries[measure].soft_exceed_time),
            reset_time=optional_timestamp(measure.reset_time),
        )
        for measure in Measure
    ]
    return quota_service_pb2.Quota(account=quota.account, entries=entries)


def drift_to_message(drift: Drift) -> quota_service_pb2.QuotaDrift:
    return quota_service_pb2.QuotaDrift(
        measure=Name.Value(drift.measure),
        ledger_reserved=drift.ledger.reserved,
        ledger_used=drift.ledger.used,
        counted_reserved=drift.counted.reserved,
        counted_used=drift.counted.used,
        explanation=drift.explanation,
    )


def usage_to_message(usage: Usage) -> quota_service_pb2.Usage:
    return quota_service_pb2.Usage(
        account=usage.account,
        total=amount_to_message(usage.total),
        kinds=[
            quota_service_pb2.KindUsage(
                kind=media_pb2.Media.Kind.Value(kind or "KIND_UNSPECIFIED"),
                amount=amount_to_message(stored),
            )
            for kind, stored in usage.kinds.items()
        ],
        projects=[
            quota_service_pb2.ProjectUsage(project_id=project, amount=amount_to_message(stored))
            for project, stored in usage.projects.items()
        ],
        days=[
            quota_service_pb2.DayUsage(date=day.isoformat(), amount=amount_to_message(stored))
            for day, stored in usage.days.items()
        ],
        deleted=amount_to_message(usage.deleted),
    )


def amount_to_message(stored: Stored) -> quota_service_pb2.UsageAmount:
    return quota_service_pb2.UsageAmount(
        media=stored.media, bytes=stored.bytes, rendition_bytes=stored.rendition_bytes
    )
