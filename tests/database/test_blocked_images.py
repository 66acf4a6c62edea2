"""The search for blocked images finds what comparing with all of them finds."""

import random

import pytest

from media_service.access.principal import Principal
from media_service.codecs.image.perceptual_hash import CROPS
from media_service.db.database import Database
from media_service.duplicates import queries as duplicates
from media_service.duplicates.model import BLOCK_DISTANCE
from media_service.policies.blocklist import FIRST, find
from media_service.policies.model import FileHash
from media_service.policies.queries import blocklist
from media_service.sharing.resources import INSTALLATION, Resource
from tests.database.test_near_duplicates import OWNERS, added, apart, changed

ADMINISTRATOR = Principal("root", administrator=True)
ACME = Resource("organization", "acme")
OTHER = Resource("organization", "other")


def as_text(hashes: list[int]) -> list[str]:
    return [f"{each:064x}" for each in hashes]


async def test_an_image_is_refused_if_it_is_near_a_blocked_one_of_its_lists(
    database: Database,
) -> None:
    random.seed(7)
    images = {}
    for owner in OWNERS * 2:
        media_id = await added(database, owner)
        images[media_id] = owner, [random.getrandbits(256) for _ in range(1 + len(CROPS))]
        async with database.connection() as db:
            await duplicates.record(db, media_id, as_text(images[media_id][1]))
    blocked: list[tuple[Resource, list[int]]] = []
    for number, (_, hashes) in enumerate(images.values()):
        near = changed(hashes[number % 2], random.randint(0, 2 * BLOCK_DISTANCE))  # noqa: S311
        crops = [random.getrandbits(256) for _ in CROPS] if number % 3 else []
        blocked.append(((INSTALLATION, ACME, OTHER)[number % 3], [near, *crops]))
    async with database.connection() as db:
        for resource, hashes in blocked:
            values = [each.to_bytes(32) for each in hashes]
            await blocklist.block_image(db, resource, values, "")
        for owner, hashes in images.values():
            lists = {"service:", f"organization:{owner.org_id}"}
            expected = any(
                apart(hashes, others) <= BLOCK_DISTANCE
                for resource, others in blocked
                if str(resource) in lists
            )
            assert await blocklist.looks_blocked(db, owner.org_id, as_text(hashes)) == expected
        for resource, others in blocked:
            wanted = FileHash(True, others[0].to_bytes(32))
            found, until = await find(db, ADMINISTRATOR, resource, wanted, FIRST, 100)
            assert until is None
            assert found == sorted(
                (media_id, apart(hashes, others))
                for media_id, (owner, hashes) in images.items()
                if apart(hashes, others) <= BLOCK_DISTANCE
                and resource in (INSTALLATION, Resource("organization", owner.org_id))
            )


async def test_media_are_compared_in_portions(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocklist, "COMPARED", 2)
    hashes = [random.getrandbits(256)]
    stored = sorted([await added(database, OWNERS[0]) for _ in range(5)])
    async with database.connection() as db:
        for media_id in stored:
            await duplicates.record(db, media_id, as_text(hashes))
        found: list[str] = []
        after: str | None = FIRST
        while after:
            wanted = FileHash(True, hashes[0].to_bytes(32))
            page, after = await find(db, ADMINISTRATOR, INSTALLATION, wanted, after, 100)
            assert len(page) <= 2
            found += [media_id for media_id, _ in page]
    assert found == stored
