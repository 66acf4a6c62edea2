"""Sends a file that is written while it is read, such as an export."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc
from google.api import httpbody_pb2

from media_service.errors import MediaError
from media_service.rpc import http

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

NDJSON = "application/x-ndjson"


async def send_file(
    pieces: AsyncGenerator[bytes, None], content_type: str, filename: str, context: Context
) -> None:
    """Sends at least one piece. An error before the first one still gets its own status; a later
    one cuts the response."""
    headers = (
        ("x-content-type", content_type),
        ("content-disposition", f'attachment; filename="{filename}"'),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "private, no-store"),
    )
    async with aclosing(pieces):
        first = await anext(pieces)
        await context.send_initial_metadata(headers)
        if http.is_head(http.request_headers(context)):
            await context.write(httpbody_pb2.HttpBody(content_type=content_type))
            return
        await context.write(httpbody_pb2.HttpBody(content_type=content_type, data=first))
        try:
            async for data in pieces:
                await context.write(httpbody_pb2.HttpBody(data=data))
        except MediaError as error:
            await http.cut(context, error)
