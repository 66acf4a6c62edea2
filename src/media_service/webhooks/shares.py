"""How many attempts at once each webhook and each account may have in a process.

A receiver that hangs holds its attempts until their time limit. So an account whose receivers are
slow has a small share, and all of these accounts have half of the process together: the others
always find room.
"""

import time
from collections import Counter

# Attempts of a process at once; of those, of one account and of one webhook.
ATTEMPTS = 256
OF_ACCOUNT = 64
OF_WEBHOOK = 8
# Of all slow accounts, and of one of them.
OF_SLOW = 128
OF_SLOW_ACCOUNT = 16
# An account is slow for ten minutes after an attempt that took longer than a second.
SLOW_SECONDS = 1.0
REMEMBERED_SECONDS = 600.0


class Shares:
    def __init__(self) -> None:
        self._webhooks: Counter[str] = Counter()
        self._accounts: Counter[str] = Counter()
        self._slow: dict[str, float] = {}  # accounts, until when

    @property
    def free(self) -> int:
        """How many attempts more the process may make."""
        return ATTEMPTS - self._accounts.total()

    def room(self, webhook_id: str, account: str) -> int:
        """How many attempts more a webhook may have."""
        slow_room = self._slow_room()
        room = min(
            self.free if account not in self._slow else min(self.free, slow_room),
            self._limit(account) - self._accounts[account],
            OF_WEBHOOK - self._webhooks[webhook_id],
        )
        return max(room, 0)

    def full(self) -> tuple[list[str], list[str]]:
        """Webhooks and accounts that may have no more."""
        webhooks = [name for name, number in self._webhooks.items() if number >= OF_WEBHOOK]
        slow = self._slow.keys() if self._slow_room() <= 0 else set()
        accounts = {name for name, number in self._accounts.items() if number >= self._limit(name)}
        accounts |= slow
        return webhooks, sorted(accounts)

    def take(self, webhook_id: str, account: str, number: int) -> None:
        self._webhooks[webhook_id] += number
        self._accounts[account] += number

    def give_back(self, webhook_id: str, account: str, number: int = 1) -> None:
        for counter, name in ((self._webhooks, webhook_id), (self._accounts, account)):
            counter[name] -= number
            if not counter[name]:
                del counter[name]

    def slow_down(self, account: str) -> None:
        """Remembers that an attempt of an account takes long."""
        self._slow[account] = time.monotonic() + REMEMBERED_SECONDS

    def _limit(self, account: str) -> int:
        return OF_SLOW_ACCOUNT if account in self._slow else OF_ACCOUNT

    def _slow_room(self) -> int:
        now = time.monotonic()
        self._slow = {name: until for name, until in self._slow.items() if until > now}
        return OF_SLOW - sum(self._accounts[name] for name in self._slow)
