"""How the library calls what the drivers use."""

from datetime import timedelta

from throttled.constants import RateLimiterType
from throttled.rate_limiter import Quota, per_duration

from media_service.rates.model import Rate

ALGORITHM = RateLimiterType.GCRA.value


def quota(rate: Rate) -> Quota:
    return per_duration(timedelta(seconds=rate.seconds), rate.quota)
