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
    """Like `ledger`. Fails if it is not what the rows say."""
    found = await ledger(caller, account)
    request = quotas.RecalculateQuotaRequest(account=account)
    recalculated = await caller.call(caller.quotas.RecalculateQuota, request)
    assert list(recalculated.drifts) == []
    return found


async def ledger(caller: Caller, account: str) -> dict[str, tuple[int, int]]:
    """What is reserved and used, by measure."""
    quota = await get_quota(caller, account)
    return {
        Measure.Name.Name(entry.limit.measure): (entry.reserved, entry.used)
        for entry in quota.entries
    }
