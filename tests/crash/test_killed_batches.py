"""Workers are killed at each durable step of a batch. Others go on, and change each media once."""

import asyncio

import grpc
import psycopg

from media_service.batches.handlers.batch import AT_ONCE
from media_service.failpoints import REGISTRY
from tests.support.crash.deployment import new_deployment
from tests.support.rpc.batches import ADD_MEDIA, tag
from tests.support.rpc.server import Caller, token
from tests.support.tools import eventually

MEDIA = 1001
# Killed in the second step, and after the third.
STEPS = {"batch.step.before": "batch.step.before@2", "batch.step.after": "batch.step.after@2"}


def test_a_batch_continues_wherever_it_is_killed(postgres: str, template: str) -> None:
    assert set(STEPS) == {each.name for each in REGISTRY if each.name.startswith("batch.")}
    with (
        new_deployment(postgres, template) as deployment,
        psycopg.connect(deployment.database_url, autocommit=True) as db,
    ):
        server = deployment.start("serve")
        db.execute(ADD_MEDIA, (MEDIA, "ann", "IMAGE", ""))
        job_id = asyncio.run(start(server.address))
        for failpoint, changed in zip(STEPS.values(), (1, 3), strict=True):
            deployment.start("work", failpoint).await_death()
            ((found,),) = db.execute("select changed from batches").fetchall()
            assert found == changed * AT_ONCE
            deployment.pass_time("31 seconds")
        deployment.start("work")

        def ended() -> bool:
            rows = db.execute("select state from jobs where job_id = %s", (job_id,))
            return rows.fetchall() == [("SUCCEEDED",)]

        eventually(ended, 60)
        rows = db.execute(
            "select b.processed, b.changed, count(*), count(distinct e.media_id)"
            " from batches b cross join audit_entries e"
            " where e.action = 'media.update' and e.media_id is not null group by 1, 2"
        )
        assert rows.fetchall() == [(MEDIA, MEDIA, MEDIA, MEDIA)]


async def start(address: str) -> str:
    async with grpc.aio.insecure_channel(address) as channel:
        ann = Caller(address, channel, token("ann"))
        return str((await tag(ann, ["x"], filter="kind=IMAGE")).job.job_id)
