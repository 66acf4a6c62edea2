"""A process that is behind slows small messages down, shares them among owners, and admits no
more."""

from collections.abc import Callable

import pytest

from media_service.uploads.load import (
    BEHIND_SECONDS,
    FEW_STREAMS,
    MESSAGES_PER_PAUSE,
    MESSAGES_PER_SECOND,
    Pace,
    UploadLoad,
)


def busy() -> UploadLoad:
    load = UploadLoad()
    for _ in range(30):
        load.add(0.05)
    return load


def test_nothing_is_slowed_down_without_load() -> None:
    load = UploadLoad()
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


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which the test sets."""
    time = [100.0]
    monkeypatch.setattr("media_service.uploads.load.monotonic", lambda: time[0])
    return time


def test_a_late_event_loop_refuses_no_upload_beside_few(now: list[float]) -> None:
    load = UploadLoad()
    for _ in range(4):
        now[0] += 0.8
        load.add(0.5)
    assert not load.refuses(FEW_STREAMS - 1)
    assert load.refuses(FEW_STREAMS)


def test_only_a_sustained_load_is_an_overload(now: list[float]) -> None:
    load = UploadLoad()

    def add(waited: float) -> bool:
        now[0] += 0.8
        load.add(waited)
        return bool(load.overloaded)

    assert [add(0.2) for _ in range(5)] == [False, False, False, True, True]
    assert not add(0.01)
    assert not add(0.2)
    assert not add(0.01)
    now[0] += 30
    assert not add(30)  # the process was stopped


def overloaded(load: UploadLoad, now: list[float], sample: Callable[[], float]) -> list[bool]:
    """Whether the process is overloaded, every half second for two seconds. `sample` returns how
    long callbacks wait."""
    seen = []
    for _ in range(4):
        for _ in range(10):
            waited = sample()
            now[0] += 0.05 + waited
            load.add(waited)
        seen.append(bool(load.overloaded))
    return seen


def test_bytes_that_are_recorded_late_for_a_while_are_an_overload(now: list[float]) -> None:
    load = UploadLoad()
    with load.recording(now[0]), load.recording(now[0] + 1):
        now[0] += BEHIND_SECONDS
        assert overloaded(load, now, lambda: 0.0) == [False, False, True, True]
    assert overloaded(load, now, lambda: 0.0) == [True, True, False, False]
    with load.recording(now[0]):
        assert not any(overloaded(load, now, lambda: 0.0)[:3])


@pytest.mark.parametrize(("messages", "busy"), [(5, False), (150, True)])
def test_slow_uploads_that_send_too_much_for_a_while_are_an_overload(
    now: list[float], messages: int, *, busy: bool
) -> None:
    load = UploadLoad()

    def sample() -> float:
        for _ in range(messages):
            load.count_message()
        return 0.05

    assert overloaded(load, now, sample)[-1] == busy
    assert not overloaded(load, now, lambda: 0.0)[-1]


def test_slow_uploads_are_ended_if_the_overload_lasts(now: list[float]) -> None:
    load, ended = UploadLoad(), []
    for _ in range(60):
        for _ in range(150):
            load.count_message()
        now[0] += 0.1
        load.add(0.05)
        ended.append(sum(load.sheds(1000) for _ in range(10)))
    assert 30 <= ended.index(1) <= 50, "about 3 s after the overload began, in tenths of a second"
    now[0] += 0.001
    assert not load.sheds(1000), "less than 0.01 s after the latest"
    for _ in range(60):
        now[0] += 0.05
        load.add(0.0)
    assert not load.sheds(1000)


def test_a_late_event_loop_alone_ends_no_upload(now: list[float]) -> None:
    load = UploadLoad()
    for _ in range(20):
        now[0] += 0.8
        load.add(0.5)
    assert load.overloaded
    assert not load.sheds(1000)


def test_a_stream_that_is_slowed_down_reads_several_messages_and_then_pauses() -> None:
    pace, now, pauses = Pace(), 0.0, []
    for _ in range(3 * MESSAGES_PER_PAUSE):
        pauses.append(pace.pause(now, 0.5))
        now += pauses[-1]
    assert [pause > 0 for pause in pauses] == ([False] * (MESSAGES_PER_PAUSE - 1) + [True]) * 3
    assert now == pytest.approx(0.5 * len(pauses))


def test_a_stream_that_sends_no_faster_than_it_may_never_pauses() -> None:
    pace = Pace()
    assert not any(pace.pause(now, 0.5) for now in range(20))
