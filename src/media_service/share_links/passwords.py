"""Hashes and checks the passwords of share links.

Argon2id with the parameters that OWASP recommends. Each hash takes 19 MiB and some 30 ms, outside
of the interpreter's lock, so few run at once, in threads. Callers take fair turns: many hashes for
one caller delay another caller by one hash.
"""

import asyncio
import os
from collections.abc import Callable
from typing import TypeVar

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from media_service.access.fair_turns import FairTurns
from media_service.access.owner import Owner
from media_service.share_links.errors import busy

T = TypeVar("T")

MEMORY_KIB = 19 << 10
ITERATIONS = 2
LANES = 1
SALT_BYTES, HASH_BYTES = 16, 32
# At once, in each process.
MAX_HASHES = 2
# How long a call waits for its turn.
MAX_SECONDS = 10.0


class Passwords:
    """`charged`, of each method: whose turn a hash takes."""

    def __init__(self) -> None:
        self._turns = FairTurns(MAX_HASHES)

    async def hash(self, charged: Owner, password: str) -> str:
        """Raises ResourceExhausted (SERVER_BUSY)."""
        return await self._run(charged, lambda: hash_of(password))

    async def matches(self, charged: Owner, password: str, hashed: str) -> bool:
        """Raises ResourceExhausted (SERVER_BUSY)."""
        return await self._run(charged, lambda: matches(password, hashed))

    async def _run(self, charged: Owner, work: Callable[[], T]) -> T:
        """A thread cannot be cancelled, so a cancelled call keeps its turn until its hash ends."""
        async with self._turns.turn_within(MAX_SECONDS, charged, lambda: busy(MAX_HASHES)):
            hashing = asyncio.ensure_future(asyncio.to_thread(work))
            try:
                return await asyncio.shield(hashing)
            finally:
                await asyncio.wait((hashing,))


def hash_of(password: str) -> str:
    salt = os.urandom(SALT_BYTES)
    kdf = Argon2id(
        salt=salt, length=HASH_BYTES, iterations=ITERATIONS, lanes=LANES, memory_cost=MEMORY_KIB
    )
    return kdf.derive_phc_encoded(password.encode())


def matches(password: str, hashed: str) -> bool:
    try:
        Argon2id.verify_phc_encoded(password.encode(), hashed)
    except InvalidKey:
        return False
    return True
