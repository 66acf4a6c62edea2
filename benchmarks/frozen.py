"""A frozen database: how long callers wait until they are refused, and until calls work again."""

import statistics
from contextlib import AsyncExitStack

from benchmarks.measure import Bench, say
from benchmarks.report import Outcome, Row
from benchmarks.trickle import row
from tests.support.frozen_database import REFUSED, freeze, open_callers

CALLERS = 300
LIMIT_SECONDS = 10.0
FROZEN = f"frozen database, {CALLERS} callers"


async def frozen(bench: Bench) -> Outcome:
    stack = bench.stack
    async with AsyncExitStack() as connections:
        callers = await open_callers(
            connections, CALLERS, stack.token, grpc_address=stack.grpc, rest_url=stack.rest
        )
        seen = await freeze(stack.database_url, stack.grpc, callers, 3 * bench.seconds)
    p99 = statistics.quantiles(seen.waits, n=100)[98]
    ends = ", ".join(f"{count} × {outcome}" for outcome, count in seen.outcomes.items())
    say(f"  refused after {max(seen.waits):.1f} s at most, p99 {p99:.1f} s: {ends}")
    calls = seen.outcomes.total()
    rows = [
        row(f"{FROZEN}: until refused", "s", LIMIT_SECONDS, max(seen.waits), most=True),
        row(f"{FROZEN}: until NOT_SERVING", "s", LIMIT_SECONDS, seen.not_serving, most=True),
        Row(
            figure=f"{FROZEN}: calls that end in another way",
            unit="",
            target=0.0,
            at_most=True,
            measured=calls - seen.outcomes[REFUSED],
            limit=calls,
            limit_name="all calls",
        ),
    ]
    notes = [
        f"{FROZEN}, for {3 * bench.seconds:g} s: {ends}. Calls were refused after"
        f" {max(seen.waits):.1f} s at most (p99 {p99:.1f} s, median"
        f" {statistics.median(seen.waits):.1f} s), health was NOT_SERVING after"
        f" {seen.not_serving:.1f} s, and every caller had a call that succeeded"
        f" {seen.recovery:.1f} s after the database was released."
    ]
    return Outcome(rows, [], notes)
