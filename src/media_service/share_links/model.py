"""Share links."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from media_service.access.owner import Owner
from media_service.access.principal import LinkMode
from media_service.access.role import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLink:
    """What a caller wants to share. `targets`: resources, as in grants. Limits that are None do not
    exist. `max_file_size`: in bytes."""

    targets: Sequence[str]
    mode: LinkMode
    display_name: str = ""
    expire_time: datetime | None = None
    max_uses: int | None = None
    max_files: int | None = None
    max_file_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareLink:
    """`creator`: with the organization of the targets. `password_hash` None: it has no password.
    `session_key`: that its sessions have, which increases with each change of the password.
    `expired`: by the clock of the database. `role`: of the caller for whom it was loaded, and
    `owner_role` without what the caller has by single targets. `hidden_targets`: how many others it
    has, which the caller may not see."""

    share_link_id: str
    targets: Sequence[str]
    mode: LinkMode
    creator: Owner
    display_name: str
    create_time: datetime
    expire_time: datetime | None
    revoke_time: datetime | None
    max_uses: int | None
    uses: int
    max_files: int | None
    max_file_size: int | None
    files: int
    password_hash: str | None
    session_key: int
    expired: bool
    role: Role = Role.NONE
    owner_role: Role = Role.NONE
    hidden_targets: int = 0


@dataclass(frozen=True, slots=True)
class Attempts:
    """Attempts with a password within a period. `seconds`: until the first of them leaves it."""

    number: int
    seconds: float
