"""One server behind one Envoy, for all cells."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.matrix.callers import SETTINGS
from tests.matrix.faces import Face, Rest, grpc_face
from tests.matrix.world import World, running_world
from tests.support.envoy import running_envoy
from tests.support.tools import NO_TLS, eventually_async


@dataclass(frozen=True)
class Matrix:
    world: World
    faces: dict[str, Face]


@asynccontextmanager
async def running_matrix(database_url: str, folder: Path, forks: Any) -> AsyncIterator[Matrix]:
    async with running_world(database_url, folder, forks) as (world, port):
        with running_envoy(folder, port, rate_gateway="off", **SETTINGS) as envoy:
            async with (
                httpx.AsyncClient(base_url=envoy.url, verify=NO_TLS, timeout=30) as client,
                grpc_face(f"127.0.0.1:{port}") as grpc,
            ):

                async def ready() -> bool:
                    try:
                        return (await client.get("/healthz")).is_success
                    except httpx.TransportError:
                        return False

                await eventually_async(ready)
                yield Matrix(world, {"gRPC": grpc, "REST": Rest(client)})
