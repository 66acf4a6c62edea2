"""The addresses in what sinks publish."""

from dataclasses import dataclass

from media_service.events.model import RelayedEvent

PUBLIC_ORIGINAL = "PUBLIC_ORIGINAL"


@dataclass(frozen=True, slots=True)
class Addresses:
    """`service`: the URL of the service, which is the source of its events."""

    service: str

    def of_media(self, event: RelayedEvent) -> str:
        """Where the original is read: by anyone if it is public, otherwise with a token. Never a
        signed link, because sinks keep what they publish."""
        if event.data.get("visibility") == PUBLIC_ORIGINAL:
            version = event.data.get("version", 1)
            return f"{self.service}/v1/public/originals/{event.media_id}/{version}/original"
        return f"{self.service}/v1/media/{event.media_id}/content"
