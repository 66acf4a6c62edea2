"""No account takes the attempts of others, however many webhooks it has and however slow."""

from hypothesis import given, settings
from hypothesis import strategies as st

from media_service.webhooks.shares import ATTEMPTS, OF_ACCOUNT, OF_SLOW, OF_WEBHOOK, Shares
from tests.support.long_form import examples

PLACES = st.tuples(st.integers(0, 8), st.integers(0, 8))


@settings(max_examples=examples(25, 1000))
@given(
    st.lists(st.tuples(st.sampled_from(["begin", "end", "slow"]), PLACES), max_size=120),
)
def test_shares_hold_after_any_attempts(
    steps: list[tuple[str, tuple[int, int]]],
) -> None:
    shares, running = Shares(), dict[tuple[str, str], int]()
    for what, (number, of_account) in steps:
        account = f"user:{of_account}"
        webhook = f"{account}/{number}"
        if what == "slow":
            shares.slow_down(account)
        elif what == "begin":
            room = shares.room(webhook, account)
            shares.take(webhook, account, room)
            running[webhook, account] = running.get((webhook, account), 0) + room
            full_webhooks, full_accounts = shares.full()
            listed = webhook in full_webhooks or account in full_accounts
            assert shares.room(webhook, account) == 0
            assert listed or shares.free == 0
        elif running.get((webhook, account)):
            shares.give_back(webhook, account)
            running[webhook, account] -= 1
        totals = {a: sum(n for (_, b), n in running.items() if a == b) for _, a in running}
        assert all(number <= OF_WEBHOOK for number in running.values())
        assert all(number <= OF_ACCOUNT for number in totals.values())
        assert sum(totals.values()) == ATTEMPTS - shares.free <= ATTEMPTS


def test_slow_accounts_leave_half_of_the_attempts_to_others() -> None:
    shares = Shares()
    for account in map(str, range(20)):
        shares.slow_down(account)
        for webhook in range(8):
            name = f"{account}/{webhook}"
            shares.take(name, account, shares.room(name, account))
    assert shares.free == ATTEMPTS - OF_SLOW
    assert shares.full()[1] == sorted(map(str, range(20)))
    assert shares.room("fast/1", "fast") == OF_WEBHOOK
