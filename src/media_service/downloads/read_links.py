"""Signs and opens links that give access to one media without an access token."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import quote

from media_service.access.link_signer import LinkSigner, invalid
from media_service.access.principal import LINK, Principal
from media_service.access.role import Role
from media_service.clock import now
from media_service.codecs.pipeline.pipeline import Pipeline, stored_pipeline
from media_service.db.audit_entry import current_call, link_id
from media_service.downloads.playback import MASTER, PlaybackService
from media_service.downloads.service import DownloadService
from media_service.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Reason,
    Unavailable,
)
from media_service.media.content import Content
from media_service.media.filenames import with_extension
from media_service.media.model import STREAM, Media
from media_service.media.reader import MediaReader
from media_service.media.service import available
from media_service.media.versions.reader import VersionReader, check_current
from media_service.renders.model import RenderSpec
from media_service.renders.service import RenderService

PURPOSE = "read"
TTL = timedelta(minutes=15)
SECOND = timedelta(seconds=1)
# The limit of the field in the API.
MAX_TOKEN_LENGTH = 2000


@dataclass(frozen=True, slots=True)
class Link:
    url: str
    expire_time: datetime
    token: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """The target of a link: content, or an image to render. `attachment` tells browsers to save
    it."""

    content: Content | RenderSpec
    attachment: bool
    expire_time: datetime

    @property
    def revalidate(self) -> bool:
        """Whether the target may change soon, such as a growing playlist."""
        return isinstance(self.content, Content) and self.content.revalidate


@dataclass(frozen=True, slots=True)
class ReadUrls:
    """URLs that give access to a media without an access token. `original` is empty if the caller
    may not download it. `renditions` has the URLs of renditions by name."""

    original: str
    renditions: Mapping[str, str]
    expire_time: datetime


class ReadLinks:
    """Signs and opens links. `rest_url` is their absolute base URL without a trailing slash."""

    def __init__(
        self,
        reader: MediaReader,
        downloads: DownloadService,
        renders: RenderService,
        playback: PlaybackService,
        versions: VersionReader,
        signer: LinkSigner,
        rest_url: str,
    ) -> None:
        self._reader = reader
        self._downloads = downloads
        self._renders = renders
        self._playback = playback
        self._versions = versions
        self._signer = signer
        self._rest_url = rest_url

    async def sign(
        self,
        principal: Principal,
        media_id: str,
        *,
        rendition: str = "",
        version: int = 0,
        ttl: timedelta = TTL,
        attachment: bool = False,
        direct: bool = False,
    ) -> Link:
        """Signs a link to the caller's media. `version` 0 means the version that is current at each
        read. With `direct`, returns a signed URL of the store if the store supports it.

        Raises the errors of `DownloadService.open`.
        """
        media = await self._downloads.media(principal, media_id)
        link = await self._link(
            principal,
            media,
            rendition,
            version=version,
            ttl=ttl,
            attachment=attachment,
            direct=direct,
        )
        note("media.sign" if link.token else "media.hand_out", link)
        return link

    async def _link(
        self,
        signer: Principal,
        media: Media,
        rendition: str,
        *,
        version: int,
        ttl: timedelta,
        attachment: bool,
        direct: bool,
    ) -> Link:
        sign = partial(self._sign, signer, media)
        claims = {"rendition": rendition, **version_claim(version)}
        if rendition == STREAM:
            check_current(media, version)
            await self._playback.check(media)
            return sign(claims, MASTER, expire=expire_time(ttl), attachment=False)
        try:
            content = await self._downloads.content(signer, media, rendition, version)
        except Unavailable as error:
            if direct or error.reason is not Reason.MEDIA_NOT_READY:
                raise
            path = path_name(with_extension(media.filename, "", f"-{rendition}"))
            return sign(claims, path, expire=expire_time(ttl), attachment=attachment)
        if direct and signer.type != LINK:  # a URL of the store would outlast the share link
            ttl = -(-ttl // SECOND) * SECOND  # stores accept only whole seconds
            expire = (now() + ttl).replace(microsecond=0)
            if url := await self._downloads.store_url(content, ttl, attachment=attachment):
                return Link(url, expire)
        path = path_name(content.filename)
        return sign(claims, path, expire=expire_time(ttl), attachment=attachment)

    async def sign_render(
        self,
        principal: Principal,
        media_id: str,
        pipeline: Pipeline,
        *,
        version: int = 0,
        ttl: timedelta = TTL,
        attachment: bool = False,
    ) -> Link:
        """Signs a link to an image that a pipeline renders from the caller's media.

        Raises the errors of `RenderService.find`, and InvalidArgument (INVALID_OPERATIONS) if the
        pipeline is too long for a link.
        """
        media, _ = await self._renders.media(principal, media_id, pipeline, version)
        content_type = f"image/{pipeline.format.lower()}" if pipeline.format else ""
        path = path_name(with_extension(media.filename, content_type))
        claims = {"rendition": "", "ops": pipeline.text, **version_claim(version)}
        expire = expire_time(ttl)
        link = self._sign(principal, media, claims, path, expire=expire, attachment=attachment)
        if len(link.token) > MAX_TOKEN_LENGTH:
            raise too_long()
        note("media.sign", link)
        return link

    def read_urls(self, principal: Principal, media: Media) -> ReadUrls | None:
        """Returns URLs of a media that the caller may read, or None if its content is not
        served."""
        try:
            available(media)
        except FailedPrecondition:
            return None
        expire = expire_time(TTL)
        sign = partial(self._sign, principal, media, expire=expire, attachment=False)
        original = self._downloads.original(media)
        renditions = {
            name: sign({"rendition": name}, self._path(media, name)).url
            for name in (rendition.name for rendition in media.renditions)
        }
        url = ""
        if principal.may_download:
            url = sign({"rendition": ""}, path_name(original.filename)).url
        note("media.sign")
        return ReadUrls(url, renditions, expire)

    def _path(self, media: Media, rendition: str) -> str:
        """The path after the token in a link to a rendition."""
        if rendition == STREAM:
            return MASTER
        return path_name(self._downloads.rendition(media, rendition).filename)

    def _sign(
        self,
        signer: Principal,
        media: Media,
        target: Mapping[str, object],
        path: str,
        *,
        expire: datetime,
        attachment: bool,
    ) -> Link:
        claims = {
            "media": media.media_id,
            **target,
            "attachment": attachment,
            "keys": media.url_keys,
        }
        token = self._signer.sign(PURPOSE, claims, expire, signer)
        url = f"{self._rest_url}/v1/signed/{token}/{path}"
        return Link(url, expire, token)

    async def open(self, token: str, path: str, accept: str) -> Opened:
        """Opens the target of a link. `path` is the file of a stream. For `accept`, see
        `RenderService.find`.

        Raises PermissionDenied (LINK_INVALID) if the link was modified, is expired or revoked, its
        target is gone, or its signer may no longer read the media. Raises Unavailable
        (MEDIA_NOT_READY), and InvalidArgument (MEDIA_CORRUPT) for a render.
        """
        call = current_call.get()
        if call:
            call.credential_id = link_id(token)
        claims = self._signer.open(PURPOSE, token)
        signer = self._signer.signer(claims)
        if call and signer and signer.type == LINK:
            call.caller = signer.owner
        media = await self._reader.find(claims["media"], signer)
        if media is None or media.role < Role.VIEWER:
            raise invalid()
        if claims.get("keys", media.url_keys) != media.url_keys:
            raise invalid()
        content: Content | RenderSpec
        try:
            version = claims.get("version", 0)
            if "ops" in claims:
                pipeline = linked_pipeline(claims["ops"])
                shown = await self._versions.shown(media, version)
                content = await self._renders.find_linked(shown, pipeline, accept, signer)
            elif claims["rendition"] == STREAM:
                check_current(media, version)
                content = await self._playback.open(media, path)
            else:
                rendition = claims["rendition"]
                available(media)
                content = await self._downloads.content(signer, media, rendition, version)
        except (NotFound, FailedPrecondition):
            raise invalid() from None
        except PermissionDenied as error:
            if error.reason is Reason.ROLE_REQUIRED:  # to read a version that is not current
                raise invalid() from None
            raise
        return Opened(content, claims["attachment"], datetime.fromtimestamp(claims["exp"], UTC))


def note(action: str, link: Link | None = None) -> None:
    """Records who made a link. A URL of the store is handed out: its use is not seen."""
    if call := current_call.get():
        call.action = action
        call.resource_id = link_id(link.token) if link and link.token else ""


def linked_pipeline(text: str) -> Pipeline:
    """Parses the pipeline of a link. Raises PermissionDenied (LINK_INVALID) if the text does not
    match the current grammar, because the link is older."""
    try:
        return stored_pipeline(text)
    except InvalidArgument:
        raise invalid() from None


def expire_time(ttl: timedelta) -> datetime:
    """The expiry of a link. It is rounded up, because tokens have whole seconds and a link must be
    valid for its TTL."""
    return (now() + ttl).replace(microsecond=0) + SECOND


def version_claim(version: int) -> Mapping[str, object]:
    return {"version": version} if version else {}


def too_long() -> InvalidArgument:
    problem = "is too long for a link"
    return InvalidArgument(
        Reason.INVALID_OPERATIONS,
        f"The pipeline {problem}. Call ProcessMedia and link to the rendition.",
        (("ops", problem),),
    )


def path_name(filename: str) -> str:
    """Converts a file name to the last segment of a URL path, which is only informative. Replaces
    `.`, `..` and escaped slashes, which proxies would change."""
    if not filename.strip("."):
        return "content"
    return quote(re.sub(r"[/\\]", "_", filename), safe="")
