"""Rates, and where a key stands with one."""

from dataclasses import dataclass

SECONDS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class Rate:
    """`quota` units in `seconds`. Units come back evenly, and all of the quota may be used at
    once."""

    quota: int
    seconds: int

    def __str__(self) -> str:
        return f"{self.quota}/{next(unit for unit in SECONDS if SECONDS[unit] == self.seconds)}"


@dataclass(frozen=True, slots=True)
class Limit:
    """A rate of each key of one kind, such as "caller". None: unlimited."""

    name: str
    rate: Rate | None


@dataclass(frozen=True, slots=True)
class Standing:
    """What a store answers about a key. `remaining`: the units that are left. `reset_seconds`: the
    time until the quota is complete again. `retry_seconds`: if the units were refused, the time
    until they are there."""

    admitted: bool
    remaining: int
    reset_seconds: float
    retry_seconds: float
