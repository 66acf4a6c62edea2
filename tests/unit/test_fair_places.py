"""Places are shared fairly among owners, whatever each of them asks for."""

import asyncio
import random
from collections import Counter
from functools import partial

from media_service.access.fair_places import FairPlaces, Place
from media_service.access.owner import Owner

ANN, BOB = Owner("user", "ann"), Owner("user", "bob")


def hold_all(places: FairPlaces, owner: Owner) -> list[Place]:
    """Takes as many places as the owner can get. Evicted work ends at once."""
    held = []
    while place := places.take(owner):
        place.on_evicted(partial(ended, place))
        held.append(place)
    return held


def ended(place: Place) -> bool:
    place.__exit__(None, None, None)
    return True


def test_one_owner_may_hold_all_places_while_nobody_else_wants_one() -> None:
    assert len(hold_all(FairPlaces(100), ANN)) == 100


def test_two_owners_get_half_each() -> None:
    places = FairPlaces(100)
    first, second = hold_all(places, ANN), hold_all(places, BOB)
    assert [sum(not place.evicted for place in held) for held in (first, second)] == [50, 50]
    assert places.take(ANN) is places.take(BOB) is None


def test_the_newest_place_is_evicted() -> None:
    places = FairPlaces(3)
    held = hold_all(places, ANN)
    assert places.take(BOB)
    assert [place.evicted for place in held] == [False, False, True]


def test_an_owner_with_less_than_its_share_is_never_refused() -> None:
    """Many greedy owners and one that asks now and then, in random order."""
    rng = random.Random(1)  # noqa: S311
    places, held = FairPlaces(50), list[Place]()
    owners = [Owner("user", str(n)) for n in range(12)]
    for _ in range(20_000):
        owner = rng.choices(owners, weights=[1000, 300, *[20] * 9, 1])[0]
        counts = Counter(place.owner for place in held if not place.evicted)
        place = places.take(owner)
        assert place or counts[owner] + 1 >= max(counts.values())
        if place:
            held.append(place)
        if rng.random() < 0.3 and held:
            held.pop(rng.randrange(len(held))).__exit__(None, None, None)
        held = [place for place in held if not (place.evicted and ended(place))]
        assert places.held == sum(not place.evicted for place in held) <= 50


def test_evicted_work_that_does_not_end_stops_evictions() -> None:
    places = FairPlaces(40)
    held = [places.take(ANN) for _ in range(40)]
    taken = [places.take(BOB) for _ in range(40)]
    assert sum(place is not None for place in taken) == 2
    evicted = [place for place in held if place and place.evicted]
    assert len(evicted) == 2
    evicted[0].__exit__(None, None, None)
    assert places.take(BOB)
    assert places.take(BOB) is None


def test_a_place_that_is_evicted_before_its_work_begins_stops_the_work_at_once() -> None:
    places, stopped = FairPlaces(2), []
    _, second = places.take(ANN), places.take(ANN)
    assert places.take(BOB)
    assert second
    second.on_evicted(lambda: stopped.append(1))
    assert stopped == [1]


def test_a_full_service_admits_only_in_exchange() -> None:
    places = FairPlaces(100)
    assert places.take(ANN, full=True) is None
    held = [places.take(ANN) for _ in range(2)]
    assert places.take(BOB, full=True)
    assert held[1]
    assert held[1].evicted
    assert places.take(BOB, full=True) is None


def test_the_owner_with_the_most_loses_its_newest_place_when_work_is_shed() -> None:
    places = FairPlaces(100)
    held = [place for owner in (ANN, BOB, ANN) if (place := places.take(owner))]
    assert places.evict_newest()
    assert [place.evicted for place in held] == [False, False, True]
    assert not FairPlaces(100).evict_newest()


async def test_a_place_lasts_as_long_as_its_task() -> None:
    places = FairPlaces(1)
    go_on = asyncio.Event()
    place = places.take(ANN)
    assert place
    with place:
        task = asyncio.create_task(go_on.wait())
        place.until_done(task)
    assert places.take(ANN) is None
    go_on.set()
    await task
    await asyncio.sleep(0)
    assert places.take(ANN)
