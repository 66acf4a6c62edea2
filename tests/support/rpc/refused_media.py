"""Media that a policy or a blocklist refused."""

from mediaservice.v1 import download_service_pb2, media_pb2, processing_service_pb2

from tests.support.rpc.catalogue import get, update
from tests.support.rpc.server import Caller, refused


async def reprocess(caller: Caller, media_id: str) -> None:
    request = processing_service_pb2.ReprocessMediaRequest(media_id=media_id)
    await caller.call(caller.processing.ReprocessMedia, request)


async def check_withheld(caller: Caller, media_id: str, cause: str) -> None:
    """Checks that a media that was undeleted serves no content, not even when it is public."""
    refusal = await refused(caller.content(media_id))
    assert (refusal.reason, refusal.metadata) == (
        "MEDIA_FAILED",
        {"media_id": media_id, "cause": cause},
    )
    request = download_service_pb2.SignUrlRequest(media_id=media_id)
    link = caller.call(caller.downloads.SignUrl, request)
    assert (await refused(link)).reason == "MEDIA_FAILED"
    visibility = (await get(caller, media_id)).visibility
    shown = {"media_id": media_id, "visibility": media_pb2.Media.PUBLIC_ORIGINAL}
    await update(caller, ["visibility"], **shown)
    assert not (await get(caller, media_id)).public_url
    await update(caller, ["visibility"], media_id=media_id, visibility=visibility)
