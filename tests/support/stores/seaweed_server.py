"""SeaweedFS for tests: master, volume server, and filer with its S3 gateway, on loopback.

`weed server` would be one process, but waits for itself for half a minute.
"""

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from tests.support.ports import free_port
from tests.support.stores.aws_rules import as_on_aws
from tests.support.stores.s3_server import ACCESS, BUCKET, SECRET
from tests.support.tools import eventually, require_tool

# Each server listens on an HTTP port, and for gRPC on that port plus this offset.
GRPC_ABOVE = 10000
# Short, because this master has no peers to elect a leader with.
ALONE = ["-raftHashicorp", "-electionTimeout", "200ms", "-heartbeatInterval", "100ms"]


@contextmanager
def seaweed_server(folder: Path) -> Iterator[str]:
    """Yields the endpoint. Bucket and credentials are those of `tests.support.stores.s3_server`."""
    program = require_tool("weed")
    master, volume, filer, s3 = (free_port(above=GRPC_ABOVE) for _ in range(4))
    names = {name: folder / name for name in ("master", "volume", "filer")}
    for path in names.values():
        path.mkdir(parents=True)
    keys = {"accessKey": ACCESS, "secretKey": SECRET}
    tests = {"name": "tests", "credentials": [keys], "actions": ["Admin", "Read", "Write", "List"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [tests]}))
    at = ["-ip", "127.0.0.1", "-ip.bind", "127.0.0.1"]
    of_master = ["-port", f"{master}", "-mdir", str(names["master"]), "-volumeSizeLimitMB", "64"]
    of_volume = ["-port", f"{volume}", "-dir", str(names["volume"]), "-max", "200"]
    of_filer = ["-port", f"{filer}", "-defaultStoreDir", str(names["filer"])]
    of_s3 = ["-s3", "-s3.port", f"{s3}", "-s3.config", str(folder / "s3.json")]
    commands = [
        ["master", *at, *of_master, *ALONE],
        ["volume", *at, *of_volume, "-mserver", f"127.0.0.1:{master}"],
        ["filer", *at, *of_filer, "-master", f"127.0.0.1:{master}", *of_s3],
    ]
    processes: list[subprocess.Popen[bytes]] = []
    with (folder / "log").open("wb") as log:
        try:
            for command in commands:
                process = subprocess.Popen([program, "-logtostderr=true", *command], stderr=log)
                processes.append(process)
            endpoint = f"http://127.0.0.1:{s3}"

            def stores() -> bool:
                log = (folder / "log").read_text(errors="replace")[-2000:]
                assert all(process.poll() is None for process in processes), log
                return asyncio.run(make_bucket(endpoint))

            eventually(stores)
            with as_on_aws(endpoint, ACCESS, SECRET) as strict:
                yield strict
        finally:
            for process in processes:
                process.kill()  # nothing needs saving, and a graceful shutdown is slow
            for process in processes:
                process.wait()


async def make_bucket(endpoint: str) -> bool:
    """Whether the bucket exists and accepts an object."""
    session = get_session()
    session.set_credentials(ACCESS, SECRET)
    made = session.create_client("s3", region_name="us-east-1", endpoint_url=endpoint)
    try:
        async with made as client:
            found = await client.list_buckets()
            if BUCKET not in {bucket["Name"] for bucket in found["Buckets"]}:
                await client.create_bucket(Bucket=BUCKET)
            await client.put_object(Bucket=BUCKET, Key="ready", Body=os.urandom(8))
    except (BotoCoreError, ClientError):
        return False
    return True
