"""The methods of BatchService that commands use, on the media of a fake server."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
from google.rpc.status_pb2 import Status
from mediaservice.v1 import batch_service_pb2 as pb
from mediaservice.v1 import batch_service_pb2_grpc, media_pb2


class FakeBatches(batch_service_pb2_grpc.BatchServiceServicer):
    """`stored`: the media, by id. `missing`: the error of one that is not there."""

    def __init__(
        self, stored: Mapping[str, tuple[media_pb2.Media, bytes]], missing: Callable[[], Status]
    ) -> None:
        self._stored = stored
        self._missing = missing

    def BatchGetMedia(  # noqa: N802
        self, request: pb.BatchGetMediaRequest, context: grpc.ServicerContext
    ) -> pb.BatchGetMediaResponse:
        response = pb.BatchGetMediaResponse()
        for media_id in request.media_ids:
            response.results.add(media_id=media_id, media=self._stored[media_id][0])
        return response

    def BatchTagMedia(  # noqa: N802
        self, request: pb.BatchTagMediaRequest, context: grpc.ServicerContext
    ) -> pb.BatchTagMediaResponse:
        def change(media: media_pb2.Media) -> None:
            kept = [tag for tag in media.tags if tag not in request.remove_tags]
            media.tags[:] = dict.fromkeys([*kept, *request.add_tags])

        return pb.BatchTagMediaResponse(results=self._changed(request.media_ids, change))

    def BatchUpdateMedia(  # noqa: N802
        self, request: pb.BatchUpdateMediaRequest, context: grpc.ServicerContext
    ) -> pb.BatchUpdateMediaResponse:
        def change(media: media_pb2.Media) -> None:
            request.update_mask.MergeMessage(request.media, media, replace_repeated_field=True)

        return pb.BatchUpdateMediaResponse(results=self._changed(request.media_ids, change))

    def BatchDeleteMedia(  # noqa: N802
        self, request: pb.BatchDeleteMediaRequest, context: grpc.ServicerContext
    ) -> pb.BatchDeleteMediaResponse:
        def change(media: media_pb2.Media) -> None:
            media.delete_time.GetCurrentTime()

        return pb.BatchDeleteMediaResponse(results=self._changed(request.media_ids, change))

    def _changed(
        self, media_ids: Sequence[str], change: Callable[[media_pb2.Media], Any]
    ) -> list[pb.BatchResult]:
        results = []
        for media_id in media_ids:
            if media_id in self._stored:
                change(self._stored[media_id][0])
                results.append(pb.BatchResult(media_id=media_id, etag='"2"'))
            else:
                results.append(pb.BatchResult(media_id=media_id, error=self._missing()))
        return results
