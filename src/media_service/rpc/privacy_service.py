"""Servicer of PrivacyService: converts messages and calls the use cases."""

from contextlib import aclosing
from typing import Any, TypeAlias

import grpc
from google.api import httpbody_pb2
from mediaservice.v1 import privacy_service_pb2, privacy_service_pb2_grpc

from media_service.errors import MediaError
from media_service.privacy.model import Erasure
from media_service.privacy.service import PrivacyService
from media_service.rpc import http
from media_service.rpc.caller import caller
from media_service.rpc.convert import timestamp

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

NDJSON = "application/x-ndjson"
HEADERS = (
    ("x-content-type", NDJSON),
    ("content-disposition", 'attachment; filename="user.ndjson"'),
    ("x-content-type-options", "nosniff"),
    ("cache-control", "private, no-store"),
)


class PrivacyServicer(privacy_service_pb2_grpc.PrivacyServiceServicer):
    def __init__(self, privacy: PrivacyService) -> None:
        self._privacy = privacy

    async def EraseUser(  # noqa: N802
        self, request: privacy_service_pb2.EraseUserRequest, context: Context
    ) -> privacy_service_pb2.Erasure:
        return message(await self._privacy.erase(caller(), request.user_id))

    async def GetErasure(  # noqa: N802
        self, request: privacy_service_pb2.GetErasureRequest, context: Context
    ) -> privacy_service_pb2.Erasure:
        return message(await self._privacy.erasure(caller(), request.erasure_id.lower()))

    async def ExportUser(  # type: ignore[override]  # noqa: N802
        self, request: privacy_service_pb2.ExportUserRequest, context: Context
    ) -> None:
        async with aclosing(self._privacy.export(caller(), request.user_id)) as groups:
            await anext(groups)  # an error here still gets its own status
            await context.send_initial_metadata(HEADERS)
            await context.write(httpbody_pb2.HttpBody(content_type=NDJSON))
            if http.is_head(http.request_headers(context)):
                return
            try:
                async for lines in groups:
                    data = "".join(lines).encode()
                    await context.write(httpbody_pb2.HttpBody(data=data))
            except MediaError as error:
                await http.cut(context, error)


def message(erasure: Erasure) -> privacy_service_pb2.Erasure:
    return privacy_service_pb2.Erasure(
        erasure_id=erasure.erasure_id,
        state=privacy_service_pb2.Erasure.ENDED
        if erasure.end_time
        else privacy_service_pb2.Erasure.RUNNING,
        pseudonym=erasure.pseudonym,
        rows=[
            privacy_service_pb2.Erasure.Rows(
                table=erased.table,
                fate=privacy_service_pb2.Erasure.Rows.Fate.Value(erased.fate.name),
                row_count=erased.count,
            )
            for erased in erasure.counts
        ],
        pass_count=erasure.passes,
        create_time=timestamp(erasure.create_time),
        end_time=timestamp(erasure.end_time) if erasure.end_time else None,
        report=erasure.report,
        signature=erasure.signature,
        public_key=erasure.public_key,
    )
