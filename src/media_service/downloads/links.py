"""Use cases of links that read one thing, for whoever has them, without a token."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from media_service.access.links import LinkSigner, invalid
from media_service.access.principal import Principal
from media_service.downloads.model import Content
from media_service.downloads.service import DownloadService, readable
from media_service.errors import FailedPrecondition, Gone, NotFound
from media_service.media.model import Media
from media_service.media.reader import MediaReader
from media_service.types import now

PURPOSE = "read"
LIFETIME = timedelta(minutes=15)
SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Link:
    url: str
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class Opened:
    """What a link leads to. `attachment`: it is to be saved, not shown."""

    content: Content
    attachment: bool
    expire_time: datetime


class ReadLinks:
    """`rest_url`: the absolute base of links, without a slash at the end."""

    def __init__(
        self, reader: MediaReader, downloads: DownloadService, signer: LinkSigner, rest_url: str
    ) -> None:
        self._reader = reader
        self._downloads = downloads
        self._signer = signer
        self._rest_url = rest_url

    async def sign(
        self,
        principal: Principal,
        media_id: str,
        *,
        rendition: str = "",
        lifetime: timedelta = LIFETIME,
        attachment: bool = False,
        direct: bool = False,
    ) -> Link:
        """A link to the caller's media. `direct`: to the store itself, if it has such.

        Raises as `DownloadService.open`.
        """
        media = await self._downloads.media(principal, media_id)
        content = self._downloads.content(media, rendition)
        if direct:
            lifetime = -(-lifetime // SECOND) * SECOND  # stores count whole ones
            expire = (now() + lifetime).replace(microsecond=0)
            if url := await self._downloads.store_url(content, lifetime, attachment=attachment):
                return Link(url, expire)
        return self._sign(media, content, rendition, lifetime, attachment=attachment)

    def to_original(self, media: Media) -> Link | None:
        """A link to a media that was loaded for its owner; None if its content is not served."""
        try:
            content = self._downloads.original(readable(media))
        except (Gone, FailedPrecondition):
            return None
        return self._sign(media, content, "", LIFETIME, attachment=False)

    def _sign(
        self,
        media: Media,
        content: Content,
        rendition: str,
        lifetime: timedelta,
        *,
        attachment: bool,
    ) -> Link:
        # A token counts whole seconds: rounded up, so that it is good for no less than was asked.
        expire = (now() + lifetime).replace(microsecond=0) + SECOND
        claims = {"media": media.media_id, "rendition": rendition, "attachment": attachment}
        token = self._signer.sign(PURPOSE, claims, expire)
        return Link(f"{self._rest_url}/v1/signed/{token}/{path_name(content.filename)}", expire)

    async def open(self, token: str) -> Opened:
        """What a link leads to now.

        Raises PermissionDenied (LINK_INVALID), the same whether the link was changed, has expired,
        or what it led to is gone.
        """
        claims = self._signer.open(PURPOSE, token)
        media = await self._reader.find(claims["media"])
        if media is None:
            raise invalid()
        try:
            content = self._downloads.content(readable(media), claims["rendition"])
        except (NotFound, Gone, FailedPrecondition):
            raise invalid() from None
        return Opened(content, claims["attachment"], datetime.fromtimestamp(claims["exp"], UTC))


def path_name(filename: str) -> str:
    """A file name as the end of a URL's path. It is for people alone, so what proxies would not
    leave as it is (`.`, `..`, escaped slashes) gives way."""
    if not filename.strip("."):
        return "content"
    return quote(re.sub(r"[/\\]", "_", filename), safe="")
