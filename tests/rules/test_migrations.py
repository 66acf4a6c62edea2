"""Migrations are numbered without gaps, and each number is used once."""

from media_service.db.migrate import migrations


def test_each_migration_has_the_next_number() -> None:
    numbers = [int(migration.name[:4]) for migration in migrations()]
    assert numbers == list(range(1, len(numbers) + 1))
