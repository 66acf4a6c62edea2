"""Reports the health of a process: as grpc.health.v1, and for REST as HealthService."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from mediaservice.v1 import health_service_pb2, health_service_pb2_grpc

from media_service.rpc.readiness import Readiness

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Health = health_service_pb2.Health

LIVENESS, READINESS = "liveness", "readiness"
# The longest delay of a change.
POLL_SECONDS = 0.1


class HealthReporter:
    """Answers grpc.health.v1. `services`: the names that are served while the process is ready, as
    "" and "readiness" are. "liveness" is served as long as the process runs."""

    def __init__(self, readiness: Readiness, services: Sequence[str]) -> None:
        self._readiness = readiness
        self._names = ("", READINESS, *services)
        self._servicer = health.aio.HealthServicer()

    def add_to(self, server: grpc.aio.Server) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def report(self) -> None:
        """Reports the current state."""
        ready = not self._readiness.reasons
        status = health_pb2.HealthCheckResponse
        await self._servicer.set(LIVENESS, status.SERVING)
        for name in self._names:
            await self._servicer.set(name, status.SERVING if ready else status.NOT_SERVING)

    async def run(self) -> None:
        """Reports every change until cancelled."""
        reported: object = None
        while True:
            if self._readiness.reasons != reported:
                reported = self._readiness.reasons
                await self.report()
            await asyncio.sleep(POLL_SECONDS)


class HealthServicer(health_service_pb2_grpc.HealthServiceServicer):
    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    async def CheckLiveness(  # noqa: N802
        self, request: health_service_pb2.CheckLivenessRequest, context: Context
    ) -> Health:
        return Health(state=Health.SERVING)

    async def CheckReadiness(  # noqa: N802
        self, request: health_service_pb2.CheckReadinessRequest, context: Context
    ) -> Health:
        if not (reasons := self._readiness.reasons):
            return Health(state=Health.SERVING)
        await context.send_initial_metadata((("x-http-status", "503"),))
        return Health(state=Health.NOT_SERVING, reasons=reasons)


@asynccontextmanager
async def health_server(readiness: Readiness, address: str) -> AsyncIterator[None]:
    """Serves grpc.health.v1 alone, for a process that serves nothing else."""
    server = grpc.aio.server()
    reporter = HealthReporter(readiness, ())
    reporter.add_to(server)
    server.add_insecure_port(address)
    await server.start()
    reporting = asyncio.create_task(reporter.run(), name="health")
    try:
        yield
    finally:
        readiness.drain()
        reporting.cancel()
        await asyncio.wait([reporting])
        await server.stop(0)
