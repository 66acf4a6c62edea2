"""Opens share links."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from media_service.access.owner import Owner
from media_service.access.principal import LINK, Principal
from media_service.db.audit_entry import current_call
from media_service.db.database import Database
from media_service.errors import ResourceExhausted
from media_service.ids import new_id
from media_service.share_links import queries
from media_service.share_links.errors import (
    expired,
    nothing_to_open,
    password_required,
    password_wrong,
    session_ended,
    too_many_attempts,
    used_up,
)
from media_service.share_links.model import ShareLink
from media_service.share_links.passwords import Passwords
from media_service.share_links.secret_text import secret_hash
from media_service.share_links.sessions import LinkSessions

# Wrong passwords of one link that are answered in a period: from one network, and from all. The
# second limit is for guesses from many networks. While these use it up, others must wait, too.
PERIOD = timedelta(hours=1)
MAX_OF_NETWORK = 10
MAX_OF_ALL = 300


@dataclass(frozen=True, slots=True)
class Session:
    """An open session of a link. `token` is a secret."""

    link: ShareLink
    token: str
    expire_time: datetime


class LinkOpener:
    def __init__(self, database: Database, sessions: LinkSessions, passwords: Passwords) -> None:
        self._database = database
        self._sessions = sessions
        self._passwords = passwords

    async def open(self, secret: str, password: str, network: str) -> Session:
        """Counts a use, and begins a session. `network`: of the client.

        What is true of a link is told only to those who have its secret. Raises NotFound
        (SHARE_LINK_NOT_FOUND), FailedPrecondition (SHARE_LINK_EXPIRED, SHARE_LINK_USED_UP,
        SHARE_LINK_PASSWORD_REQUIRED), PermissionDenied (SHARE_LINK_PASSWORD_WRONG),
        ResourceExhausted (RATE_LIMITED, SERVER_BUSY)."""
        link = await self._find(secret)
        if link.password_hash is not None:
            await self._check_password(link, link.password_hash, password, network)
        async with self._database.transaction() as tx:
            if not await queries.use(tx, link.share_link_id):
                raise used_up()
            tx.audit(org_id=link.creator.org_id, resource_id=link.share_link_id)
        return self._session(link)

    async def renew(self, secret: str, session_token: str) -> Session:
        """Renews a session, which keeps its id. Raises Unauthenticated
        (TOKEN_INVALID), and the errors of `open` that are no use."""
        link = await self._find(secret)
        session = self._sessions.verify(session_token)
        if session.subject != link.share_link_id:
            raise nothing_to_open()
        if session.session_key != link.session_key:
            raise session_ended()
        return self._session(link, session.session_id)

    async def _find(self, secret: str) -> ShareLink:
        """Returns a link that works, with the targets that it shares now. The audit log names it as
        the caller."""
        async with self._database.connection() as db:
            link = await queries.by_secret(db, secret_hash(secret))
            if link is None or link.revoke_time is not None:
                raise nothing_to_open()
            if call := current_call.get():
                call.caller = Owner(LINK, link.share_link_id, link.creator.org_id)
            if link.expired:
                raise expired()
            caller = Principal(
                link.share_link_id,
                link.creator.org_id,
                type=LINK,
                session_key=link.session_key,
            )
            shared = await queries.shared_targets(db, caller)
            if not shared:
                raise nothing_to_open()
        return replace(link, targets=[target for target in link.targets if target in shared])

    async def _check_password(
        self, link: ShareLink, password_hash: str, password: str, network: str
    ) -> None:
        """An attempt counts as a wrong one from its beginning until it turns out to be right, or is
        not checked. So no number of attempts at once exceeds the limits."""
        if not password:
            raise password_required()
        attempt_id, share_link_id = new_id(), link.share_link_id
        async with self._database.transaction() as tx:
            ours, all_ = await queries.attempts(tx, share_link_id, network, PERIOD)
            for made, most in ((ours, MAX_OF_NETWORK), (all_, MAX_OF_ALL)):
                if made.number >= most:
                    raise too_many_attempts(most, int(PERIOD.total_seconds()), made.seconds)
            await queries.insert_attempt(tx, attempt_id, share_link_id, network)
        try:
            right = await self._passwords.matches(
                Owner("address", network), password, password_hash
            )
        except ResourceExhausted:  # the password was not checked
            await self._forget(attempt_id)
            raise
        if not right:
            raise password_wrong()
        await self._forget(attempt_id)

    async def _forget(self, attempt_id: str) -> None:
        async with self._database.connection() as db:
            await queries.forget_attempt(db, attempt_id)

    def _session(self, link: ShareLink, session_id: str = "") -> Session:
        return Session(link, *self._sessions.begin(link, session_id))
