"""Identifiers: UUIDs of version 7."""

import time
import uuid

from media_service.ids import new_id


def test_an_id_is_a_uuid_of_version_7() -> None:
    for _ in range(500):
        parsed = uuid.UUID(new_id())
        assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
        assert str(parsed) == str(parsed).lower()


def test_an_id_starts_with_its_timestamp_and_sorts_by_it() -> None:
    before = time.time_ns() // 1_000_000
    ids = [new_id() for _ in range(500)]
    after = time.time_ns() // 1_000_000
    times = [uuid.UUID(value).int >> 80 for value in ids]
    assert times == sorted(times)
    assert before <= times[0] <= times[-1] <= after


def test_ids_of_one_millisecond_sort_in_order_of_creation() -> None:
    ids = [new_id() for _ in range(10_000)]
    assert ids == sorted(ids)


def test_ids_are_unique_and_their_last_bytes_are_evenly_spread() -> None:
    ids = {new_id() for _ in range(10_000)}
    assert len(ids) == 10_000
    assert len({value[-2:] for value in ids}) == 256
