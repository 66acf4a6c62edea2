"""Calls of ShareLinkService."""

from typing import Any

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from mediaservice.v1 import media_service_pb2, share_link_service_pb2_grpc
from mediaservice.v1 import share_link_service_pb2 as links

from tests.support.rpc.server import Caller, Running

Mode = links.ShareLink.Mode


async def share(
    caller: Caller, *targets: str, mode: str = "VIEW", **fields: Any
) -> links.CreateShareLinkResponse:
    request = links.CreateShareLinkRequest(targets=targets, mode=Mode.Value(mode), **fields)
    return await caller.call(caller.share_links.CreateShareLink, request)


async def open_link(
    service: Running | str, secret: str, **fields: Any
) -> links.OpenShareLinkResponse:
    """Without a token. `service`: or its address."""
    address = service if isinstance(service, str) else service.address
    async with grpc.aio.insecure_channel(address) as channel:
        stub = share_link_service_pb2_grpc.ShareLinkServiceStub(channel)
        opened: links.OpenShareLinkResponse = await stub.OpenShareLink(
            links.OpenShareLinkRequest(secret=secret, **fields)
        )
        return opened


async def visitor(service: Running, secret: str, **fields: Any) -> Caller:
    """A caller with the session of a link."""
    return await service.bearer((await open_link(service, secret, **fields)).session_token)


async def get(caller: Caller, share_link_id: str) -> links.ShareLink:
    request = links.GetShareLinkRequest(share_link_id=share_link_id)
    return await caller.call(caller.share_links.GetShareLink, request)


async def change(caller: Caller, share_link_id: str, *names: str, **fields: Any) -> links.ShareLink:
    request = links.UpdateShareLinkRequest(
        share_link_id=share_link_id, update_mask=FieldMask(paths=names), **fields
    )
    return await caller.call(caller.share_links.UpdateShareLink, request)


async def revoke_link(caller: Caller, share_link_id: str) -> links.ShareLink:
    request = links.RevokeShareLinkRequest(share_link_id=share_link_id)
    return await caller.call(caller.share_links.RevokeShareLink, request)


async def listed(caller: Caller, target: str = "", **paging: Any) -> list[str]:
    """The ids of the links to a target, or of the caller's own ones."""
    request = links.ListShareLinksRequest(target=target, **paging)
    found = await caller.call(caller.share_links.ListShareLinks, request)
    return [each.share_link_id for each in found.share_links]


async def media_of(caller: Caller, **fields: Any) -> set[str]:
    """The ids of all media that a caller lists."""
    request = media_service_pb2.ListMediaRequest(**fields)
    return {each.media_id for each in (await caller.call(caller.media.ListMedia, request)).media}
