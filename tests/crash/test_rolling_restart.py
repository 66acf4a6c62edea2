"""Servers are replaced one after the other, and callers notice nothing."""

from tests.support.crash.cluster import cluster_on, roll_under_load
from tests.support.crash.deployment import new_deployment


async def test_callers_notice_no_rolling_restart(postgres: str, template: str) -> None:
    with (
        new_deployment(postgres, template, MEDIA_DRAIN_SECONDS="2") as deployment,
        cluster_on(deployment) as cluster,
    ):
        tally = await roll_under_load(cluster, times=1, users=4)
    assert tally.failures == []
    assert not tally.advised, "Envoy sends every request to a server that takes it"
    assert tally.calls > 100
    assert tally.resumed >= 2, "the event stream was continued on the other server"
