"""Two servers behind one Envoy, and users who follow the advice of errors."""

import asyncio
import io
import subprocess
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc
from mediaservice.v1 import upload_pb2

from media_service.config import load
from media_service.envoy_config import render
from media_service.ids import new_id
from media_service_client import AsyncClient
from tests.support.crash.client import KIB, MIB, image
from tests.support.crash.deployment import Deployment, Running
from tests.support.ports import free_port
from tests.support.rpc.server import token
from tests.support.service import STOP_SECONDS
from tests.support.tools import NO_TLS, await_answer, eventually

SERVERS = 2
# Longer than Envoy needs to see that a server is ready.
SEEN_SECONDS = 1.5
PAUSE_SECONDS = 0.05
# Of one request. Together, they last longer than any restart.
ATTEMPTS = 30
TOO_MANY, UNAVAILABLE = 429, 503


class Cluster:
    """`url` and `address`: of Envoy, for REST and for gRPC. `servers` are those behind it."""

    def __init__(self, deployment: Deployment, rest_port: int, ports: list[int]) -> None:
        self._deployment = deployment
        self._ports = ports
        self.servers: list[Running] = []
        self.address = f"127.0.0.1:{rest_port}"
        self.url = f"http://{self.address}"

    def start(self) -> None:
        self.servers = [self._deployment.launch("serve", port=port) for port in self._ports]
        for server in self.servers:
            server.ready()

    async def roll(self) -> None:
        """Replaces one server after the other, as an orchestrator does."""
        for number, port in enumerate(self._ports):
            await asyncio.to_thread(self.servers[number].stop)
            self.servers[number] = self._deployment.launch("serve", port=port)
            await asyncio.to_thread(self.servers[number].ready)
            await is_ready(f"127.0.0.1:{port}")
            await asyncio.sleep(SEEN_SECONDS)


async def is_ready(address: str) -> None:
    """Waits until a server reports that it is ready."""
    async with grpc.aio.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while True:
            answer = await health.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return
            await asyncio.sleep(PAUSE_SECONDS)


@contextmanager
def cluster_on(deployment: Deployment) -> Iterator[Cluster]:
    """A cluster for the context. Stopping its servers is left to the deployment."""
    rest_port = free_port()
    ports = [free_port() for _ in range(SERVERS)]
    config = load({**deployment.environ, "MEDIA_REST_PORT": str(rest_port)})
    with tempfile.TemporaryDirectory(prefix="media-envoy-") as folder:
        yaml = Path(folder) / "envoy.yaml"
        yaml.write_text(render(config, [("127.0.0.1", port) for port in ports], "127.0.0.1"))
        program = Path(sysconfig.get_path("scripts")) / "envoy"
        command = [str(program), "-c", str(yaml), "--log-level", "error", "--use-dynamic-base-id"]
        cluster = Cluster(deployment, rest_port, ports)
        cluster.start()
        with (Path(folder) / "log").open("wb") as log:
            envoy = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                await_answer(f"{cluster.url}/healthz", envoy)
                ready = f"{cluster.url}/healthz/ready"
                eventually(lambda: httpx.get(ready, verify=NO_TLS).status_code == 200)
                yield cluster
            finally:
                envoy.terminate()
                envoy.wait(STOP_SECONDS)


@dataclass
class Tally:
    """What users saw. `advised`: the reasons of errors that asked them to try again."""

    calls: int = 0
    advised: Counter[str] = field(default_factory=Counter)
    resumed: int = 0
    failures: list[str] = field(default_factory=list)


class RestUser:
    """A user who repeats a request if, and when, the answer says so."""

    def __init__(self, cluster: Cluster, tally: Tally, name: str) -> None:
        self._tally = tally
        headers = {"authorization": f"Bearer {token(name)}"}
        self._client = httpx.AsyncClient(
            base_url=cluster.url, headers=headers, timeout=60, trust_env=False, verify=NO_TLS
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Stores, reads and lists files until `stop`."""
        async with self._client:
            while not stop.is_set():
                data = image(64 * KIB)
                key = {"idempotency-key": new_id()}
                media = await self._ask("POST", "/v1/media:upload", content=data, headers=key)
                if media is None:
                    continue
                path = f"/v1/media/{media.json()['mediaId']}"
                await self._ask("GET", path)
                await self._ask("GET", "/v1/media")
                content = await self._ask("GET", f"{path}/content")
                if content is not None and content.content != data:
                    self._tally.failures.append("other bytes were returned than were stored")
                await asyncio.sleep(PAUSE_SECONDS)

    async def _ask(self, method: str, path: str, **request: Any) -> httpx.Response | None:
        self._tally.calls += 1
        for _ in range(ATTEMPTS):
            try:
                answer = await self._client.request(method, path, **request)
            except httpx.TransportError as error:
                self._tally.failures.append(f"{method} {path}: {error!r}")
                return None
            if answer.is_success:
                return answer
            advice = answer.headers.get("retry-after")
            if answer.status_code not in {TOO_MANY, UNAVAILABLE} or advice is None:
                break
            self._tally.advised[answer.json()["details"][0]["reason"]] += 1
            await asyncio.sleep(float(advice))
        self._tally.failures.append(f"{method} {path}: {answer.status_code} {answer.text}")
        return None

    async def create(self, size: int) -> str:
        """Creates an upload and returns its id."""
        key = {"idempotency-key": new_id()}
        spec = {"sizeBytes": str(size)}
        answer = await self._ask("POST", "/v1/uploads", json=spec, headers=key)
        assert answer is not None, self._tally.failures
        return str(answer.json()["uploadId"])

    async def watch(self, upload_id: str) -> None:
        """Watches an upload until its last event, also over the ends of connections."""
        seen = ""
        while seen != "end":
            headers = {"last-event-id": seen} if seen else {}
            path = f"/v1/uploads/{upload_id}:watch"
            async with self._client.stream("GET", path, headers=headers) as events:
                if not events.is_success:
                    self._tally.failures.append(f"watch: {events.status_code}")
                    return
                async for line in events.aiter_lines():
                    if line.startswith("id: "):
                        seen = line.removeprefix("id: ")
            self._tally.resumed += 1

    async def close(self) -> None:
        await self._client.aclose()


async def use_client(cluster: Cluster, tally: Tally, stop: asyncio.Event) -> None:
    """Stores and reads files with the Python client over gRPC until `stop`."""
    async with AsyncClient(cluster.address, token=token("cleo")) as client:
        while not stop.is_set():
            data = image(2 * MIB)
            tally.calls += 2
            media = await client.upload(data)
            found = io.BytesIO()
            await client.download(media.media_id, found)
            if found.getvalue() != data:
                tally.failures.append("the client received other bytes than it stored")
            await asyncio.sleep(PAUSE_SECONDS)


async def watch_and_upload(cluster: Cluster, tally: Tally, stop: asyncio.Event) -> None:
    """Watches an upload over REST and over gRPC, and completes it at `stop`."""
    data = image(MIB)
    user = RestUser(cluster, tally, "wanda")
    upload_id = await user.create(len(data))
    async with (
        AsyncClient(cluster.address, token=token("wanda")) as client,
        asyncio.TaskGroup() as tasks,
    ):
        watching = tasks.create_task(user.watch(upload_id))
        seen = tasks.create_task(last_state(client, upload_id))
        await stop.wait()
        await client.upload(data, upload_id=upload_id)
        await watching
        if await seen != upload_pb2.Upload.FINISHED:
            tally.failures.append("the watch did not end with the end of the upload")
    await user.close()


async def last_state(client: AsyncClient, upload_id: str) -> int:
    state = 0
    async for upload in client.watch_upload(upload_id):
        state = upload.state
    return state


async def roll_under_load(
    cluster: Cluster,
    times: int,
    users: int,
    show: Callable[[int, Tally], None] = lambda *_: None,
) -> Tally:
    """Replaces all servers `times` times while users work. Returns what they saw. Calls `show`
    after each time."""
    tally, stop = Tally(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for number in range(users):
            tasks.create_task(RestUser(cluster, tally, f"user-{number}").run(stop))
        tasks.create_task(use_client(cluster, tally, stop))
        tasks.create_task(watch_and_upload(cluster, tally, stop))
        for number in range(times):
            await cluster.roll()
            show(number + 1, tally)
        stop.set()
    return tally
