"""Servicer of ShareLinkService: converts messages and calls the use cases."""

from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import grpc
from mediaservice.v1 import share_link_service_pb2, share_link_service_pb2_grpc

from media_service.access.page_tokens import PageTokens
from media_service.access.principal import LinkMode
from media_service.rpc.caller import caller
from media_service.rpc.client_addresses import current_address, network_of
from media_service.rpc.convert import optional_timestamp, time_from, timestamp
from media_service.rpc.pagination import page, page_size
from media_service.share_links.model import NewLink, ShareLink
from media_service.share_links.opening import LinkOpener
from media_service.share_links.service import CHANGEABLE, ShareLinkService

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Mode = share_link_service_pb2.ShareLink.Mode

PAGE_KEY = [datetime, UUID]
# No cache may keep a secret.
NO_STORE = ("cache-control", "no-store")


class ShareLinkServicer(share_link_service_pb2_grpc.ShareLinkServiceServicer):
    def __init__(
        self, links: ShareLinkService, opener: LinkOpener, page_tokens: PageTokens
    ) -> None:
        self._links = links
        self._opener = opener
        self._page_tokens = page_tokens

    async def CreateShareLink(  # noqa: N802
        self, request: share_link_service_pb2.CreateShareLinkRequest, context: Context
    ) -> share_link_service_pb2.CreateShareLinkResponse:
        new = NewLink(
            targets=list(request.targets),
            mode=LinkMode(Mode.Name(request.mode)),
            display_name=request.display_name,
            expire_time=time_from(request, "expire_time"),
            max_uses=request.max_uses or None,
            max_files=request.max_files or None,
            max_file_size=request.max_file_size_bytes or None,
        )
        link, secret = await self._links.create(caller(), new, request.password)
        await context.send_initial_metadata((("x-http-status", "201"), NO_STORE))
        return share_link_service_pb2.CreateShareLinkResponse(
            share_link=link_to_message(link), secret=secret
        )

    async def GetShareLink(  # noqa: N802
        self, request: share_link_service_pb2.GetShareLinkRequest, context: Context
    ) -> share_link_service_pb2.ShareLink:
        return link_to_message(await self._links.get(caller(), request.share_link_id.lower()))

    async def ListShareLinks(  # noqa: N802
        self, request: share_link_service_pb2.ListShareLinksRequest, context: Context
    ) -> share_link_service_pb2.ListShareLinksResponse:
        query, size = ("share links", caller().owner, request.target), page_size(request.page_size)
        after = None
        if request.page_token:
            after = tuple(self._page_tokens.open(query, request.page_token, PAGE_KEY))
        if request.target:
            found = await self._links.page_of_target(caller(), request.target, after, size + 1)
        else:
            found = await self._links.page(caller(), after, size + 1)
        links, next_page_token = await page(
            found,
            size,
            link_to_message,
            lambda last: self._page_tokens.seal(query, [last.create_time, last.share_link_id]),
        )
        return share_link_service_pb2.ListShareLinksResponse(
            share_links=links, next_page_token=next_page_token
        )

    async def UpdateShareLink(  # noqa: N802
        self, request: share_link_service_pb2.UpdateShareLinkRequest, context: Context
    ) -> share_link_service_pb2.ShareLink:
        names = list(request.update_mask.paths)
        if not names:
            names = [field.name for field, _ in request.ListFields() if field.name in CHANGEABLE]
        changes = {name: value_from(request, name) for name in names}
        link = await self._links.update(caller(), request.share_link_id.lower(), changes)
        return link_to_message(link)

    async def RevokeShareLink(  # noqa: N802
        self, request: share_link_service_pb2.RevokeShareLinkRequest, context: Context
    ) -> share_link_service_pb2.ShareLink:
        return link_to_message(await self._links.revoke(caller(), request.share_link_id.lower()))

    async def OpenShareLink(  # noqa: N802
        self, request: share_link_service_pb2.OpenShareLinkRequest, context: Context
    ) -> share_link_service_pb2.OpenShareLinkResponse:
        if request.session_token:
            session = await self._opener.renew(request.secret, request.session_token)
        else:
            network = network_of(current_address.get())
            session = await self._opener.open(request.secret, request.password, network)
        await context.send_initial_metadata((NO_STORE,))
        link = session.link
        return share_link_service_pb2.OpenShareLinkResponse(
            session_token=session.token,
            session_expire_time=timestamp(session.expire_time),
            share_link_id=link.share_link_id,
            mode=Mode.Value(link.mode),
            targets=link.targets,
            display_name=link.display_name,
            expire_time=optional_timestamp(link.expire_time),
            max_files=link.max_files or 0,
            max_file_size_bytes=link.max_file_size or 0,
            files=link.files,
        )


def value_from(request: share_link_service_pb2.UpdateShareLinkRequest, name: str) -> Any:
    """A field of `CHANGEABLE`; None if it is removed. Of other fields, the name is refused."""
    if name == "expire_time":
        return time_from(request, name)
    if name == "display_name":
        return request.display_name
    return getattr(request, name, None) or None


def link_to_message(link: ShareLink) -> share_link_service_pb2.ShareLink:
    return share_link_service_pb2.ShareLink(
        share_link_id=link.share_link_id,
        mode=Mode.Value(link.mode),
        targets=link.targets,
        display_name=link.display_name,
        creator=f"{link.creator.type}:{link.creator.id}",
        create_time=timestamp(link.create_time),
        expire_time=optional_timestamp(link.expire_time),
        revoke_time=optional_timestamp(link.revoke_time),
        max_uses=link.max_uses or 0,
        uses=link.uses,
        has_password=link.password_hash is not None,
        hidden_targets=link.hidden_targets,
        max_files=link.max_files or 0,
        max_file_size_bytes=link.max_file_size or 0,
        files=link.files,
    )
