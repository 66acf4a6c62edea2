"""Workers are killed while they erase a person. Others continue, and count each row once."""

import asyncio
import json

import grpc
import psycopg
from mediaservice.v1 import privacy_service_pb2

from tests.support.crash.deployment import new_deployment
from tests.support.crash.failpoint_scenarios import names
from tests.support.media.small_files import jpeg
from tests.support.rpc.server import Caller, token
from tests.support.tools import eventually

FAILPOINTS = [name for name in names("work", "erase") if name.startswith("erase")]
STORED = 3


def test_an_erasure_continues_wherever_it_is_killed(postgres: str, template: str) -> None:
    admin = {"MEDIA_ADMIN_CLAIM": "roles=admin"}
    with (
        new_deployment(postgres, template, **admin) as deployment,
        psycopg.connect(deployment.database_url, autocommit=True) as db,
    ):
        asyncio.run(begin(deployment.start("serve").address))
        for failpoint in FAILPOINTS:
            deployment.start("work", failpoint).await_death()
            deployment.pass_time("2 hours")

        def report() -> str:
            db.execute("update erasures set create_time = create_time - interval '11 minutes'")
            deployment.pass_time("2 hours")
            ((found,),) = db.execute("select report from erasures").fetchall()
            return str(found)

        worker = deployment.start("work")
        rows = json.loads(eventually(report, 60))["rows"]
        assert rows["media"] == {"removed": STORED}
        assert rows["jobs"] == {"pseudonymized": STORED}
        assert db.execute("select from blobs").rowcount == 0, "no bytes are left"
        worker.stop()


async def begin(address: str) -> None:
    """Stores media as one user, and starts to erase them as an administrator."""
    async with grpc.aio.insecure_channel(address) as channel:
        cat = Caller(address, channel, token("cat"))
        for _ in range(STORED):
            await cat.store(jpeg())
        root = Caller(address, channel, token("root", roles=["admin"]))
        request = privacy_service_pb2.EraseUserRequest(user_id="cat")
        await root.call(root.privacy.EraseUser, request)
