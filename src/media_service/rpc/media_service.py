"""Servicer of MediaService: converts messages and calls the use cases."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import grpc
from google.protobuf import empty_pb2, field_mask_pb2
from mediaservice.v1 import media_pb2, media_service_pb2, media_service_pb2_grpc

from media_service.access.page_tokens import PageTokens
from media_service.downloads.conditional_requests import listed
from media_service.downloads.read_links import ReadLinks
from media_service.media.copying import CopyService
from media_service.media.filenames import clean
from media_service.media.model import Media
from media_service.media.service import CHANGEABLE, MediaService
from media_service.media.versions.service import NEWEST, VersionService
from media_service.renditions.delete import DeletionService
from media_service.rpc import http
from media_service.rpc.caller import caller
from media_service.rpc.convert import (
    media_to_message,
    metadata_from,
    owner_from,
    time_from,
    version_to_message,
    visibility_from,
)
from media_service.rpc.field_validation import invalid_fields
from media_service.rpc.idempotency import UUID, request_key
from media_service.rpc.pagination import page, page_size
from media_service.rpc.public_urls import PublicUrls
from media_service.rpc.search_result import facets_to_message, hit_to_message
from media_service.search.highlights import highlights
from media_service.search.model import Dimension
from media_service.search.service import SearchService
from media_service.update_mask import check_changeable

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class MediaServicer(media_service_pb2_grpc.MediaServiceServicer):
    """`public_urls`: of public renditions and originals."""

    def __init__(
        self,
        media: MediaService,
        deletions: DeletionService,
        versions: VersionService,
        copies: CopyService,
        links: ReadLinks,
        page_tokens: PageTokens,
        search: SearchService,
        public_urls: PublicUrls,
    ) -> None:
        self._media = media
        self._deletions = deletions
        self._versions = versions
        self._copies = copies
        self._links = links
        self._page_tokens = page_tokens
        self._search = search
        self._public_urls = public_urls

    async def GetMedia(  # noqa: N802
        self, request: media_service_pb2.GetMediaRequest, context: Context
    ) -> media_pb2.Media:
        media = await self._media.get(caller(), request.media_id)
        known = http.request_headers(context).get("if-none-match", "")
        # A 304 would not bring new URLs.
        unchanged = listed(known, media.etag, weak=True) and not request.sign_read_urls
        if unchanged and http.is_rest(context):
            await send_etag(context, media.etag, ("x-http-status", "304"))
            return media_pb2.Media()
        await send_etag(context, media.etag)
        return self._message(media, request)

    def _message(
        self,
        media: Media,
        request: media_service_pb2.GetMediaRequest
        | media_service_pb2.ListMediaRequest
        | media_service_pb2.SearchMediaRequest,
    ) -> media_pb2.Media:
        return media_to_message(
            media,
            self._public_urls,
            full=request.view == media_pb2.Media.FULL and caller().may_download,
            read_urls=self._links.read_urls(caller(), media) if request.sign_read_urls else None,
        )

    async def ListMedia(  # noqa: N802
        self, request: media_service_pb2.ListMediaRequest, context: Context
    ) -> media_service_pb2.ListMediaResponse:
        size = page_size(request.page_size)
        found, token, total = await self._media.list_media(
            caller(),
            filter_text=request.filter,
            order_by=request.order_by,
            page_token=request.page_token,
            show_deleted=request.show_deleted,
            owner=owner_from(request.owner) if request.HasField("owner") else None,
            project_id=request.project_id,
            limit=size + 1,
            show_total=request.show_total,
        )
        media, next_page_token = await page(
            found, size, lambda listed: self._message(listed.media, request), token
        )
        return media_service_pb2.ListMediaResponse(
            media=media,
            next_page_token=next_page_token,
            total_count=total.number if total else 0,
            total_approximate=total.approximate if total else False,
        )

    async def SearchMedia(  # noqa: N802
        self, request: media_service_pb2.SearchMediaRequest, context: Context
    ) -> media_service_pb2.SearchMediaResponse:
        size = page_size(request.page_size)
        found, token, words = await self._search.search(
            caller(),
            query=request.query,
            filter_text=request.filter,
            project_id=request.project_id,
            page_token=request.page_token,
            limit=size + 1,
        )
        hits, next_page_token = await page(
            found.hits,
            size,
            lambda hit: hit_to_message(
                self._message(hit.media, request), highlights(hit, words.wanted)
            ),
            token,
        )
        return media_service_pb2.SearchMediaResponse(
            hits=hits,
            next_page_token=next_page_token,
            total_count=found.total,
            total_approximate=found.approximate,
            order=media_service_pb2.SearchMediaResponse.Order.Value(found.order),
        )

    async def CountFacets(  # noqa: N802
        self, request: media_service_pb2.CountFacetsRequest, context: Context
    ) -> media_service_pb2.CountFacetsResponse:
        names = media_service_pb2.CountFacetsRequest.Dimension
        found = await self._search.facets(
            caller(),
            query=request.query,
            filter_text=request.filter,
            project_id=request.project_id,
            dimensions=[Dimension(names.Name(each)) for each in request.dimensions]
            or list(Dimension),
            most=page_size(request.max_values, default=20, maximum=100),
        )
        return facets_to_message(found)

    async def UpdateMedia(  # noqa: N802
        self, request: media_service_pb2.UpdateMediaRequest, context: Context
    ) -> media_pb2.Media:
        wanted = request.media
        check_media_id(wanted.media_id)
        values = stated_values(wanted, request.update_mask)
        etag = wanted.etag or http.request_headers(context).get("if-match", "")
        media = await self._media.update(caller(), wanted.media_id, values, etag)
        await send_etag(context, media.etag)
        return media_to_message(media, self._public_urls)

    async def CopyMedia(  # noqa: N802
        self, request: media_service_pb2.CopyMediaRequest, context: Context
    ) -> media_pb2.Media:
        content = media_service_pb2.CopyMediaRequest()
        content.CopyFrom(request)
        content.ClearField("request_id")
        headers = http.request_headers(context)
        media = await self._copies.copy(
            caller(),
            request.media_id.lower(),
            owner_from(request.owner) if request.HasField("owner") else None,
            request.project_id if request.HasField("project_id") else None,
            request_key(headers, "CopyMedia", request.request_id, content),
        )
        await context.send_initial_metadata((("x-http-status", "201"),))
        return media_to_message(media, self._public_urls)

    async def DeleteMedia(  # noqa: N802
        self, request: media_service_pb2.DeleteMediaRequest, context: Context
    ) -> media_pb2.Media:
        etag = request.etag or http.request_headers(context).get("if-match", "")
        media = await self._media.delete(caller(), request.media_id, etag)
        return media_to_message(media, self._public_urls)

    async def UndeleteMedia(  # noqa: N802
        self, request: media_service_pb2.UndeleteMediaRequest, context: Context
    ) -> media_pb2.Media:
        media = await self._media.undelete(caller(), request.media_id)
        return media_to_message(media, self._public_urls)

    async def DeleteRendition(  # noqa: N802
        self, request: media_service_pb2.DeleteRenditionRequest, context: Context
    ) -> media_pb2.Media:
        etag = request.etag or http.request_headers(context).get("if-match", "")
        media = await self._deletions.delete_rendition(
            caller(), request.media_id.lower(), request.rendition, etag
        )
        return media_to_message(media, self._public_urls)

    async def PurgeMedia(  # noqa: N802
        self, request: media_service_pb2.PurgeMediaRequest, context: Context
    ) -> empty_pb2.Empty:
        await self._deletions.purge(caller(), request.media_id)
        return empty_pb2.Empty()

    async def EmptyTrash(  # noqa: N802
        self, request: media_service_pb2.EmptyTrashRequest, context: Context
    ) -> media_service_pb2.EmptyTrashResponse:
        media_ids, more = await self._deletions.empty_trash(caller(), request.project_id)
        return media_service_pb2.EmptyTrashResponse(media_ids=media_ids, more=more)

    async def ListVersions(  # noqa: N802
        self, request: media_service_pb2.ListVersionsRequest, context: Context
    ) -> media_service_pb2.ListVersionsResponse:
        query, before = ("versions", caller().owner, request.media_id), NEWEST
        if request.page_token:
            (before,) = self._page_tokens.open(query, request.page_token, [int])
        size = page_size(request.page_size)
        found = await self._versions.list_versions(caller(), request.media_id, before, size + 1)

        def token(version: Media) -> str:
            return self._page_tokens.seal(query, [version.version])

        versions, next_page_token = await page(
            found, size, lambda each: version_to_message(each, self._public_urls), token
        )
        return media_service_pb2.ListVersionsResponse(
            versions=versions, next_page_token=next_page_token
        )

    async def GetVersion(  # noqa: N802
        self, request: media_service_pb2.GetVersionRequest, context: Context
    ) -> media_pb2.MediaVersion:
        found = await self._versions.get(caller(), request.media_id, request.version)
        return version_to_message(found, self._public_urls)

    async def RestoreVersion(  # noqa: N802
        self, request: media_service_pb2.RestoreVersionRequest, context: Context
    ) -> media_pb2.MediaVersion:
        restored = await self._versions.restore(
            caller(), request.media_id, request.version, request.etag
        )
        return version_to_message(restored, self._public_urls)

    async def DeleteVersion(  # noqa: N802
        self, request: media_service_pb2.DeleteVersionRequest, context: Context
    ) -> empty_pb2.Empty:
        await self._deletions.delete_version(caller(), request.media_id, request.version)
        return empty_pb2.Empty()


def check_media_id(media_id: str) -> None:
    """Checks the id in a message that is also a response, where the contract has no rule for it.
    Raises InvalidArgument (INVALID_FIELD)."""
    if not UUID.fullmatch(media_id):
        raise invalid_fields([("media.media_id", "must be a UUID")])


def stated_values(media: media_pb2.Media, mask: field_mask_pb2.FieldMask) -> dict[str, Any]:
    """The new values of the fields that an update names. Raises InvalidArgument
    (INVALID_UPDATE_MASK, INVALID_FIELD, METADATA_NOT_ALLOWED)."""
    names = list(mask.paths)
    if names == ["*"]:
        names = list(CHANGEABLE)
    if not names:
        set_fields = {field.name for field, _ in media.ListFields()}
        names = [name for name in CHANGEABLE if name in set_fields]
    check_changeable(names, CHANGEABLE)
    return {name: value_from(media, name) for name in names}


def value_from(media: media_pb2.Media, name: str) -> Any:
    """One of `CHANGEABLE`."""
    convert = CONVERTED.get(name)
    return convert(media) if convert else getattr(media, name)


CONVERTED: Mapping[str, Callable[[media_pb2.Media], Any]] = {
    "filename": lambda media: clean(media.filename),
    "tags": lambda media: tuple(media.tags),
    "labels": lambda media: dict(media.labels),
    "visibility": lambda media: visibility_from(media.visibility),
    "capture_time": lambda media: time_from(media, "capture_time"),
    "expire_time": lambda media: time_from(media, "expire_time"),
    "metadata": lambda media: metadata_from(media.metadata),
}


async def send_etag(context: Context, etag: str, *more: tuple[str, str]) -> None:
    """Sends the etag as a header, over REST only."""
    if http.is_rest(context):
        headers = (("etag", etag), ("cache-control", "private, no-cache"), *more)
        await context.send_initial_metadata(headers)
