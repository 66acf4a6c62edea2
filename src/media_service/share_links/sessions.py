"""Tokens of the sessions of share links: `mss_` and a signed link (see `link_signer`).

A token says which link was opened, and what it allows. Whether the link still works is read in the
statements that load what it shares, so a session ends with its link.
"""

import secrets
from datetime import datetime, timedelta

from cachetools import LRUCache

from media_service.access.link_signer import LinkSigner
from media_service.access.principal import LINK, LinkMode, Principal
from media_service.clock import now
from media_service.errors import PermissionDenied
from media_service.share_links.errors import session_ended
from media_service.share_links.model import ShareLink

MARK = "mss_"
PURPOSE = "share link"
TTL = timedelta(hours=1)
SESSION_ID_BYTES = 16
MAX_TOKEN = 2000
MAX_REMEMBERED = 10_000


class LinkSessions:
    """Begins sessions, and turns their tokens into principals."""

    def __init__(self, signer: LinkSigner) -> None:
        self._signer = signer
        self._passed: LRUCache[str, bool] = LRUCache(MAX_REMEMBERED)

    def begin(self, link: ShareLink, session_id: str = "") -> tuple[str, datetime]:
        """Returns the token of a session, and when it expires: at the latest with the link.
        `session_id`: of the session to renew; empty for a new one."""
        expire = now() + TTL
        if link.expire_time is not None:
            expire = min(expire, link.expire_time)
        claims = {
            "link": link.share_link_id,
            "mode": link.mode,
            "org": link.creator.org_id,
            "key": link.session_key,
            "sid": session_id or secrets.token_urlsafe(SESSION_ID_BYTES),
        }
        return MARK + self._signer.sign(PURPOSE, claims, expire), expire

    @staticmethod
    def accepts(text: str) -> bool:
        """Whether a text claims to be the token of a session. No other credential begins so."""
        return text.startswith(MARK)

    def remembers(self, text: str) -> bool:
        """Whether a token passed before."""
        return text in self._passed

    def verify(self, text: str) -> Principal:
        """Raises Unauthenticated (TOKEN_INVALID)."""
        try:
            claims = self._signer.open(PURPOSE, text.removeprefix(MARK)[:MAX_TOKEN])
        except PermissionDenied:
            raise session_ended() from None
        self._passed[text] = True
        return Principal(
            claims["link"],
            claims["org"],
            type=LINK,
            link_mode=LinkMode(claims["mode"]),
            session_id=claims["sid"],
            session_key=claims["key"],
        )
