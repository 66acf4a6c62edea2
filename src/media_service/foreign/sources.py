"""The signed URLs from which foreign workers read originals."""

from datetime import datetime

from media_service.access.link_signer import LinkSigner
from media_service.access.principal import Principal
from media_service.downloads.read_links import PURPOSE
from media_service.foreign.messages import Source
from media_service.media.model import Media

# A foreign worker reads for the service, as its own workers do: who requested the job was allowed
# to. The principal is sealed in the URL, which names one media.
SERVICE = Principal("foreign-workers", type="service", administrator=True)


class Sources:
    def __init__(self, links: LinkSigner, rest_url: str) -> None:
        self._links = links
        self._rest_url = rest_url

    def of(self, media: Media, expire: datetime) -> Source:
        """The original of a media, of the version that the job is for."""
        claims = {
            "media": media.media_id,
            "rendition": "",
            "version": media.version,
            "attachment": False,
            "keys": media.url_keys,
        }
        token = self._links.sign(PURPOSE, claims, expire, SERVICE)
        return Source(
            media_id=media.media_id,
            url=f"{self._rest_url}/v1/signed/{token}/original",
            content_type=media.content_type,
            size_bytes=media.blob.size_bytes,
        )
