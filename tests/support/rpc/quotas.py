"""Calls of QuotaService."""

from mediaservice.v1 import quota_service_pb2 as quotas

from tests.support.rpc.server import Caller

Measure = quotas.QuotaMeasure


async def set_quota(caller: Caller, account: str, **limits: int) -> quotas.Quota:
    """Limits by measure, such as `BYTES=1000`."""
    request = quotas.SetQuotaRequest(account=account)
    for name, limit in limits.items():
        request.limits.add(measure=Measure.Name.Value(name), limit=limit)
    return await caller.call(caller.quotas.SetQuota, request)


async def get_quota(caller: Caller, account: str) -> quotas.Quota:
    return await caller.call(caller.quotas.GetQuota, quotas.GetQuotaRequest(account=account))


async def usage(caller: Caller, account: str) -> dict[str, tuple[int, int]]:
    """What is reserved and used, by measure. Fails if it is not what the rows of uploads and media
    say."""
    quota = await get_quota(caller, account)
    request = quotas.RecalculateQuotaRequest(account=account)
    found = await caller.call(caller.quotas.RecalculateQuota, request)
    assert list(found.drifts) == []
    return {
        Measure.Name.Name(entry.limit.measure): (entry.reserved, entry.used)
        for entry in quota.entries
    }
