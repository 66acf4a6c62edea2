"""Hashes and checks the passwords of share links.

Argon2id with the parameters that OWASP recommends. Each hash takes 19 MiB and some 30 ms, outside
of the interpreter's lock, so few run at once, in threads.
"""

import asyncio
import os

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

MEMORY_KIB = 19 << 10
ITERATIONS = 2
LANES = 1
SALT_BYTES, HASH_BYTES = 16, 32
# At once, in each process.
MAX_HASHES = 2


class Passwords:
    def __init__(self) -> None:
        self._places = asyncio.Semaphore(MAX_HASHES)

    async def hash(self, password: str) -> str:
        async with self._places:
            return await asyncio.to_thread(hash_of, password)

    async def matches(self, password: str, hashed: str) -> bool:
        async with self._places:
            return await asyncio.to_thread(matches, password, hashed)


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
