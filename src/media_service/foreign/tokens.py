"""The token of a job: its holder speaks for one claim."""

from dataclasses import dataclass
from datetime import datetime

from media_service.access.link_signer import LinkSigner

PURPOSE = "job"


@dataclass(frozen=True, slots=True)
class JobToken:
    """`blob_id`: where the worker puts its file. `version`: of the media that it reads."""

    job_id: str
    fence: int
    blob_id: str
    version: int

    def sign(self, links: LinkSigner, expire: datetime) -> str:
        claims = {"j": self.job_id, "f": self.fence, "b": self.blob_id, "v": self.version}
        return links.sign(PURPOSE, claims, expire)

    @classmethod
    def open(cls, links: LinkSigner, text: str) -> "JobToken":
        """Raises PermissionDenied (LINK_INVALID)."""
        claims = links.open(PURPOSE, text)
        return cls(claims["j"], claims["f"], claims["b"], claims["v"])
