"""Service accounts and API keys."""

from dataclasses import dataclass
from datetime import datetime

from media_service.access.owner import Owner
from media_service.access.role import Role

# The type of such callers, and of the owner of what they upload.
SERVICE_ACCOUNT = "service_account"


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A caller that is a program. `owner`: who manages it. `role`: of the caller for whom it was
    loaded."""

    service_account_id: str
    owner: Owner
    display_name: str
    create_time: datetime
    delete_time: datetime | None
    role: Role = Role.NONE


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key. `scopes` None: every permission of the service account. `owner`: who
    manages it. `role`: of the caller for whom it was loaded."""

    api_key_id: str
    service_account_id: str
    owner: Owner
    prefix: str
    display_name: str
    scopes: tuple[str, ...] | None
    create_time: datetime
    expire_time: datetime | None
    revoke_time: datetime | None
    last_use_time: datetime | None
    role: Role = Role.NONE


@dataclass(frozen=True, slots=True)
class KeyState:
    """What decides whether a call with a key passes. `active`: neither the key is revoked nor its
    account deleted. `use_due`: whether its last use was recorded long enough ago."""

    api_key_id: str
    service_account_id: str
    owner: Owner
    secret_hash: bytes
    scopes: frozenset[str] | None
    active: bool
    expired: bool
    use_due: bool
