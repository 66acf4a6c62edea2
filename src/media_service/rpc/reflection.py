"""Server reflection (grpc.reflection.v1alpha): describes the API to clients without its files."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import cache
from typing import Any, TypeAlias

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from media_service.contract import descriptor_pool
from media_service.errors import DeadlineExceeded, Reason

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

# A stream describes the whole API in less than a second.
STREAM_SECONDS = 60.0


class ReflectionServicer(reflection_pb2_grpc.ServerReflectionServicer):  # type: ignore[misc]
    """`services`: the names that it lists."""

    def __init__(self, services: Sequence[str]) -> None:
        self._answers = reflection.aio.ReflectionServicer(services, described())

    async def ServerReflectionInfo(  # noqa: N802
        self,
        requests: AsyncGenerator[reflection_pb2.ServerReflectionRequest, None],
        context: Context,
    ) -> None:
        try:
            async with asyncio.timeout(STREAM_SECONDS) as limit, aclosing(requests):
                async for answer in self._answers.ServerReflectionInfo(requests, context):
                    await context.write(answer)
        except TimeoutError:
            if not limit.expired():
                raise
            raise DeadlineExceeded(
                Reason.STREAM_TOO_SLOW,
                f"A reflection stream lasts at most {STREAM_SECONDS:g} seconds. Start another one.",
            ) from None


@cache
def described() -> DescriptorPool:
    """The contract with its field rules, and the standard services."""
    pool = descriptor_pool()
    for module in (health_pb2, reflection_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    return pool
