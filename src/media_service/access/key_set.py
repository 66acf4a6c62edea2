"""The public keys of an issuer."""

import asyncio
import json
import logging
import math
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import jwt

from media_service.errors import Reason, Unavailable

log = logging.getLogger(__name__)

# Keys of this age are read again before they are used.
KEY_LIFETIME_SECONDS = 300
# Keys of this age are read again in the background, so that callers do not wait for a slow server.
REFRESH_SECONDS = 240
# The time from one read to the next, if a token names an unknown key, or if there are no keys.
UNKNOWN_KEY_SECONDS = 10
RETRY_SECONDS = 5
TIMEOUT_SECONDS = 5

# What reading and parsing the keys may raise.
UNREADABLE = (OSError, ValueError, TypeError, AttributeError, RecursionError, jwt.PyJWTError)

Keys = dict[str | None, jwt.PyJWK]


class KeySet:
    """Public keys from a JWKS file or URL, which are read again and again.

    While the location cannot be read, the last known keys remain valid. `name`: what errors call
    it.
    """

    def __init__(self, location: str, name: str = "MEDIA_JWT_JWKS") -> None:
        self._location = location
        self._name = name
        self._keys: Keys = {}
        self._loaded = -math.inf  # also if the keys could not be read
        self._loading: asyncio.Task[None] | None = None

    async def find(self, key_id: str | None) -> jwt.PyJWK:
        """The key of this id. A key set of one key needs no id.

        Raises InvalidKeyError, and Unavailable (KEYS_UNAVAILABLE).
        """
        await self._refresh_if_due()
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        if key_id not in self._keys and self._age > UNKNOWN_KEY_SECONDS:
            await self._refresh()
        if key_id not in self._keys:
            raise jwt.InvalidKeyError("it names an unknown key")
        return self._keys[key_id]

    async def holds(self, key: jwt.PyJWK) -> bool:
        """Whether `find` returned this key since the keys were last read. Afterwards, even an
        unchanged key is another object.

        Raises Unavailable (KEYS_UNAVAILABLE).
        """
        await self._refresh_if_due()
        return any(key is held for held in self._keys.values())

    @property
    def _age(self) -> float:
        return time.monotonic() - self._loaded

    async def _refresh_if_due(self) -> None:
        lifetime = KEY_LIFETIME_SECONDS if self._keys else RETRY_SECONDS
        if self._age > lifetime:
            await self._refresh()
        elif self._keys and self._age > REFRESH_SECONDS:
            self._load()
        if not self._keys:
            raise Unavailable(
                Reason.KEYS_UNAVAILABLE, f"The public keys of {self._name} cannot be read."
            )

    async def _refresh(self) -> None:
        # A caller that goes away must not interrupt the read of the others.
        await asyncio.shield(self._load())

    def _load(self) -> asyncio.Task[None]:
        """Starts to read the keys, unless that is in progress."""
        if self._loading is None or self._loading.done():
            self._loading = asyncio.create_task(self._read())
        return self._loading

    async def _read(self) -> None:
        try:
            self._keys = await asyncio.to_thread(read_keys, self._location)
        except UNREADABLE as error:
            log.warning("%s cannot be read, so its last known keys remain: %s", self._name, error)
        self._loaded = time.monotonic()


def read_keys(location: str) -> Keys:
    """Reads the usable keys. None at all is a valid answer: all keys have been removed."""
    if urlsplit(location).scheme == "file":
        data = json.loads(Path(url2pathname(urlsplit(location).path)).read_text())
    else:
        client = jwt.PyJWKClient(location, cache_jwk_set=False, timeout=TIMEOUT_SECONDS)
        data = client.fetch_data()
    if not isinstance(data.get("keys"), list):
        raise TypeError("it has no list of keys")
    found = (usable_key(key) for key in data["keys"])
    return {key.key_id: key for key in found if key}


def usable_key(key: Any) -> jwt.PyJWK | None:
    try:
        return jwt.PyJWK(key)
    except (TypeError, AttributeError, jwt.PyJWTError):
        return None  # of a kind that this service does not know
