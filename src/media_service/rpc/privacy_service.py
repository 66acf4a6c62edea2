"""Servicer of PrivacyService: converts messages and calls the use cases."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc
from mediaservice.v1 import privacy_service_pb2, privacy_service_pb2_grpc

from media_service.privacy.model import Erasure
from media_service.privacy.service import PrivacyService
from media_service.rpc.caller import caller
from media_service.rpc.convert import timestamp
from media_service.rpc.file_stream import NDJSON, send_file

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


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
        groups = self._privacy.export(caller(), request.user_id)
        await send_file(encoded(groups), NDJSON, "user.ndjson", context)


async def encoded(groups: AsyncGenerator[list[str], None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(groups):
        async for lines in groups:
            yield "".join(lines).encode()


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
        report_digest=erasure.report_digest,
        signature=erasure.signature,
        public_key=erasure.public_key,
    )
