"""Reports the health of a process: as grpc.health.v1, and for REST as HealthService."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeAlias, cast

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from mediaservice.v1 import health_service_pb2, health_service_pb2_grpc

from media_service.errors import NotFound, Reason
from media_service.rpc.client_addresses import ClientAddresses
from media_service.rpc.open_gate import OpenGate
from media_service.rpc.readiness import Readiness
from media_service.rpc.running_calls import RunningCalls
from media_service.rpc.server_options import OPTIONS
from media_service.rpc.stream_reset import new_task

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Health = health_service_pb2.Health
Status = health_pb2.HealthCheckResponse

LIVENESS, READINESS = "liveness", "readiness"
# The longest delay of a change.
POLL_SECONDS = 0.1
WATCH_SECONDS = 3600.0
# Of a worker's watches.
STREAM_TIMEOUT = timedelta(seconds=60)


class HealthReporter(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Answers grpc.health.v1. `services`: the names that are served while the process is ready, as
    "" and "readiness" are. "liveness" is served as long as the process runs."""

    def __init__(self, readiness: Readiness, services: Iterable[str]) -> None:
        self._readiness = readiness
        self._names = frozenset({"", READINESS, *services})
        self._changed = asyncio.Event()

    async def Check(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        status = self._status(request.service)
        if status == Status.SERVICE_UNKNOWN:
            raise NotFound(
                Reason.ROUTE_NOT_FOUND,
                f"There is no service {request.service!r}. Server reflection lists the services.",
            )
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> None:
        """Sends the status whenever it changes. Clients start an ended watch again."""
        sent = None
        try:
            async with asyncio.timeout(WATCH_SECONDS) as limit:
                while True:
                    changed = self._changed
                    status = self._status(request.service)
                    if status != sent:
                        await context.write(health_pb2.HealthCheckResponse(status=status))
                        sent = status
                    await changed.wait()
        except TimeoutError:
            if not limit.expired():
                raise

    def _status(self, name: str) -> Any:
        if name == LIVENESS:
            return Status.SERVING
        if name not in self._names:
            return Status.SERVICE_UNKNOWN
        return Status.NOT_SERVING if self._readiness.reasons else Status.SERVING

    def report(self) -> None:
        """Sends the current state to all watches."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Reports every change until cancelled."""
        reported: object = None
        while True:
            if self._readiness.reasons != reported:
                reported = self._readiness.reasons
                self.report()
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
        degraded = self._readiness.degraded
        if not (reasons := self._readiness.reasons):
            return Health(state=Health.SERVING, degraded=degraded)
        await context.send_initial_metadata((("x-http-status", "503"),))
        return Health(state=Health.NOT_SERVING, reasons=reasons, degraded=degraded)


@asynccontextmanager
async def health_server(readiness: Readiness, address: str) -> AsyncIterator[None]:
    """Serves grpc.health.v1 alone, for a process that serves nothing else."""
    server = grpc.aio.server(options=list(OPTIONS))
    reporter = HealthReporter(readiness, ())
    service = health_pb2.DESCRIPTOR.services_by_name["Health"]
    calls = RunningCalls()
    gate = OpenGate(server, [service], calls, ClientAddresses(()), STREAM_TIMEOUT)
    health_pb2_grpc.add_HealthServicer_to_server(reporter, cast("grpc.aio.Server", gate))
    server.add_insecure_port(address)
    asyncio.get_running_loop().set_task_factory(new_task)
    await server.start()
    reporting = asyncio.create_task(reporter.run(), name="health")
    resetting = asyncio.create_task(calls.reset_unread(), name="unread responses")
    try:
        yield
    finally:
        readiness.drain()
        reporting.cancel()
        resetting.cancel()
        await asyncio.wait([reporting, resetting])
        await server.stop(0)
