"""The authenticated caller."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

from media_service.access.owner import Owner

# The type of a caller that opened a share link. Its subject is the id of the link.
LINK = "link"


class LinkMode(StrEnum):
    """What a share link allows: to read, in the mode VIEW no originals, or to upload."""

    VIEW = "VIEW"
    DOWNLOAD = "DOWNLOAD"
    UPLOAD = "UPLOAD"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller with verified credentials.

    A user is a subject of an issuer: an equal subject of another issuer is another user. `issuer`
    is empty for the service's own issuer (see `access_tokens`). `type`: "user", "service_account"
    or "link"; the id of the last two is the subject. `org_id`: the organization that the token
    claims; it narrows the caller to that organization. The claim counts as membership if the
    organization is bound to `org_issuer`, which is empty for the service's own issuer. `scopes`
    None: every permission of the user. `administrator`: whether MEDIA_ADMIN_CLAIM makes the caller
    one. `api_key_id`: of the API key of this call, if it has one. `account`: the name of the user
    or the organization that a service account belongs to, such as "user:ann". `link_mode`: a
    `LinkMode`; empty for callers that are no share link. `session_id`: of the session of a share
    link, random; visitors of one link are distinguished only by it.
    `session_key`: that the link must have; it changes with the password of the link.
    """

    subject: str
    org_id: str = ""
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] | None = None
    issuer: str = ""
    administrator: bool = False
    type: str = "user"
    api_key_id: str = ""
    org_issuer: str = ""
    account: str = ""
    link_mode: str = ""
    session_id: str = ""
    session_key: int = 0

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        values: dict[str, Any] = {
            name: frozenset(value) if isinstance(value, list) else value
            for name, value in fields.items()
        }
        return cls(**values)

    def as_json(self) -> dict[str, Any]:
        return {
            name: sorted(value) if isinstance(value, frozenset) else value
            for name, value in asdict(self).items()
        }

    @property
    def id(self) -> str:
        return f"{self.issuer}|{self.subject}" if self.issuer else self.subject

    @property
    def grantee(self) -> str:
        """Its name in grants."""
        return f"{self.type}:{self.id}"

    @property
    def owner(self) -> Owner:
        """The owner of what this caller creates, unless they name another one."""
        return Owner(self.type, self.id, self.org_id)

    @property
    def charged_name(self) -> str:
        """Whose limits its calls use up. All service accounts of a user or an organization share
        those of their owner, so that more of them get no more."""
        return self.account or self.grantee

    @property
    def charged(self) -> Owner:
        """The same as `charged_name`, for places that owners share."""
        kind, _, id_ = self.charged_name.partition(":")
        return Owner(kind, id_)

    @property
    def may_download(self) -> bool:
        """Whether it may read the originals of the media that it sees."""
        return self.link_mode != LinkMode.VIEW

    def holds(self, permission: str) -> bool:
        """Whether the token's scope covers a permission such as "media.read"; "media.*" does."""
        if self.scopes is None:
            return True
        area, _, _ = permission.partition(".")
        return bool(self.scopes & {permission, f"{area}.*", "*"})
