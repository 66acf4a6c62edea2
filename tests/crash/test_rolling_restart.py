"""Servers are replaced one after the other, and callers notice nothing."""

from functools import partial

import httpx

from tests.support.crash.cluster import Cluster, cluster_on, roll_under_load
from tests.support.crash.deployment import new_deployment
from tests.support.silent_database import frozen
from tests.support.tools import NO_TLS, eventually_async

READY = {"state": "SERVING", "reasons": [], "degraded": []}


async def test_callers_notice_no_rolling_restart(postgres: str, template: str) -> None:
    with (
        new_deployment(postgres, template, MEDIA_DRAIN_SECONDS="2") as deployment,
        cluster_on(deployment) as cluster,
    ):
        tally = await roll_under_load(cluster, times=1, users=4)
        await a_frozen_database_is_reported(cluster, postgres)
    assert tally.failures == []
    assert not tally.advised, "Envoy sends every request to a server that takes it"
    assert tally.calls > 100
    assert tally.resumed >= 2, "the event stream was continued on the other server"


async def a_frozen_database_is_reported(cluster: Cluster, postgres: str) -> None:
    """Envoy asks the servers that are not ready if all of them are."""
    async with httpx.AsyncClient(base_url=cluster.url, trust_env=False, verify=NO_TLS) as http:
        with frozen(postgres):
            await eventually_async(partial(is_reported, http))
            assert (await http.get("/healthz/live")).json() == READY
        await eventually_async(partial(is_ready, http))


async def is_reported(http: httpx.AsyncClient) -> bool:
    answer = await http.get("/healthz/ready")
    if answer.status_code == 200:
        return False
    state = {"state": "NOT_SERVING", "reasons": ["DATABASE_UNAVAILABLE"], "degraded": []}
    assert (answer.status_code, answer.json()) == (503, state)
    return True


async def is_ready(http: httpx.AsyncClient) -> bool:
    return bool((await http.get("/healthz/ready")).json() == READY)
