"""Servers and workers are killed at each durable step of an erasure. Others continue, and count
each row once."""

import asyncio
import json

import grpc
import psycopg
import pytest
from mediaservice.v1 import privacy_service_pb2

from media_service.access.report_signer import is_signed
from media_service.failpoints import REGISTRY
from tests.support.crash.deployment import Deployment, Running, new_deployment
from tests.support.media.small_files import jpeg
from tests.support.rpc.server import Caller, token
from tests.support.tools import eventually

STORED = 3
START = ["erase.start.before", "erase.start.after"]
ERASE = [
    "erase.give-up.after",
    "erase.begin.after",
    "erase.batch.before",
    "erase.batch.after",
    "erase.finish.before",
    "erase.repeat.after",
]
END = ["erase.end.before", "erase.end.after"]
SIGN = ["erase.sign.before", "erase.sign.after"]


def test_an_erasure_continues_wherever_it_is_killed(postgres: str, template: str) -> None:
    erasing = [failpoint.name for failpoint in REGISTRY if failpoint.name.startswith("erase.")]
    assert set(erasing) == {*START, *ERASE, *END, *SIGN}
    admin = {"MEDIA_ADMIN_CLAIM": "roles=admin"}
    with (
        new_deployment(postgres, template, **admin) as deployment,
        psycopg.connect(deployment.database_url, autocommit=True) as db,
    ):
        for failpoint, erasures in zip(START, (0, 1), strict=True):
            server = deployment.start("serve", failpoint)
            if not erasures:
                asyncio.run(store(server.address))
            with pytest.raises(grpc.RpcError):
                asyncio.run(erase(server.address))
            server.await_death()
            assert db.execute("select from erasures").rowcount == erasures
        # As if ten workers had died of its job.
        db.execute("update jobs set attempt = 10, lost_leases = 10 where kind = 'ERASE'")
        for failpoint in ERASE:
            deployment.start("work", failpoint).await_death()
            deployment.pass_time("2 hours")
        for failpoint in END:
            die(deployment, deployment.start("work", failpoint), db)
        ((erasure_id, report, names),) = db.execute(
            "select erasure_id::text, report, names from erasures"
        ).fetchall()
        assert names == []
        for failpoint in SIGN:
            server = deployment.start("serve", failpoint)
            with pytest.raises(grpc.RpcError):
                asyncio.run(get(server.address, erasure_id))
            server.await_death()
        found = asyncio.run(get(deployment.start("serve").address, erasure_id))
        assert found.report == report
        assert is_signed(report, found.signature, found.public_key)
        rows = json.loads(report)["rows"]
        assert rows["media"] == {"removed": STORED}
        assert rows["jobs"] == {"pseudonymized": STORED}
        assert db.execute("select from blobs").rowcount == 0, "no bytes are left"
        recorded = db.execute("select from audit_entries where action = 'erasures.end'")
        assert recorded.rowcount == 1


def die(deployment: Deployment, worker: Running, db: psycopg.Connection[object]) -> None:
    """Passes time until the worker has died at its failpoint."""

    def dead() -> bool:
        db.execute("update erasures set create_time = create_time - interval '11 minutes'")
        deployment.pass_time("2 hours")
        return worker.dead

    eventually(dead, 60)
    worker.await_death()


async def store(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        cat = Caller(address, channel, token("cat"))
        for _ in range(STORED):
            await cat.store(jpeg())


async def erase(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        root = Caller(address, channel, token("root", roles=["admin"]))
        request = privacy_service_pb2.EraseUserRequest(user_id="cat")
        await root.call(root.privacy.EraseUser, request)


async def get(address: str, erasure_id: str) -> privacy_service_pb2.Erasure:
    async with grpc.aio.insecure_channel(address) as channel:
        root = Caller(address, channel, token("root", roles=["admin"]))
        request = privacy_service_pb2.GetErasureRequest(erasure_id=erasure_id)
        return await root.call(root.privacy.GetErasure, request)
