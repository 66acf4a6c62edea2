"""Ids."""

import time
import uuid

from media_service.ids import new_id


def test_an_id_is_a_uuid_of_version_7() -> None:
    for _ in range(500):
        parsed = uuid.UUID(new_id())
        assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
        assert str(parsed) == str(parsed).lower()


def test_an_id_begins_with_its_time_and_so_sorts_by_it() -> None:
    before = time.time_ns() // 1_000_000
    ids = [new_id() for _ in range(500)]
    after = time.time_ns() // 1_000_000
    times = [uuid.UUID(value).int >> 80 for value in ids]
    assert times == sorted(times)
    assert before <= times[0] <= times[-1] <= after


def test_ids_sort_as_they_were_made_within_a_millisecond_too() -> None:
    ids = [new_id() for _ in range(10_000)]
    assert ids == sorted(ids)


def test_ids_do_not_repeat_and_their_ends_are_spread() -> None:
    ids = {new_id() for _ in range(10_000)}
    assert len(ids) == 10_000
    assert len({value[-2:] for value in ids}) == 256
