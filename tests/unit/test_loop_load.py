"""A busy event loop slows small messages down, shares them among owners, and admits no more."""

import pytest

from media_service.uploads.loop_load import MESSAGES_PER_SECOND, LoopLoad


def busy() -> LoopLoad:
    load = LoopLoad()
    for _ in range(30):
        load.add(0.05)
    return load


def test_nothing_is_slowed_down_without_load() -> None:
    load = LoopLoad()
    load.add(0.001)
    assert load.delay(own=2000, owners=3) == 0
    assert not load.overloaded


def test_under_pressure_each_owner_reads_an_equal_share_of_the_messages() -> None:
    load, streams = busy(), {"ann": 2000, "bob": 1, "eve": 30}
    rates = [own / load.delay(own, len(streams)) for own in streams.values()]
    assert rates == pytest.approx([MESSAGES_PER_SECOND / 3] * 3)


def test_pressure_ends_soon_after_the_load() -> None:
    load = busy()
    assert load.pressure == 1
    for _ in range(60):
        load.add(0.001)
    assert load.pressure == 0


def test_only_a_sustained_load_is_an_overload(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("media_service.uploads.loop_load.monotonic", lambda: now[0])
    load = LoopLoad()

    def add(waited: float) -> bool:
        now[0] += 0.8
        load.add(waited)
        return load.overloaded

    assert [add(0.2) for _ in range(5)] == [False, False, False, True, True]
    assert not add(0.01)
    assert not add(0.2)
    assert not add(0.01)
    now[0] += 30
    assert not add(30)  # the process was stopped
