"""The raw and the public store must not overlap."""

from pathlib import Path

import pytest

from media_service import app
from media_service.config import ConfigError, load
from media_service.errors import Unavailable
from media_service.storage.drivers import open_driver


def overlap(one: str, other: str) -> bool:
    return open_driver(one).overlaps(open_driver(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("file:///data/media", "file:///data/media"),
        ("file:///data/media", "file:///data/media/"),
        ("file:///data/media", "file:///data/media/public"),
        ("file:///data", "file:///other/../data/public"),
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket", "s3://bucket/public"),
        ("s3://bucket/a", "s3://bucket/a/?region=eu-central-1"),
        ("s3://bucket/a?endpoint=http://h:1", "s3://bucket/a/b?endpoint=http://h:1/"),
        ("gs://bucket/a", "gs://bucket/a"),
    ],
)
def test_a_store_overlaps_with_itself_and_with_a_store_inside_it(one: str, other: str) -> None:
    assert overlap(one, other)
    assert overlap(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("file:///data/raw", "file:///data/public"),
        ("file:///data/media", "file:///data/media-public"),
        ("s3://bucket/raw", "s3://bucket/public"),
        ("s3://bucket/a", "s3://bucket/ab"),
        ("s3://bucket", "s3://other"),
        ("s3://bucket", "gs://bucket"),
        ("s3://bucket?endpoint=http://h:1", "s3://bucket?endpoint=http://h:2"),
        ("memory://", "memory://"),
        ("memory://", "file:///data/public"),
    ],
)
def test_separate_stores_do_not_overlap(one: str, other: str) -> None:
    assert not overlap(one, other)
    assert not overlap(other, one)


def test_a_symbolic_link_overlaps_with_its_directory(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "public").symlink_to(tmp_path / "raw")
    assert overlap((tmp_path / "raw").as_uri(), (tmp_path / "public").as_uri())


async def test_the_service_does_not_start_with_overlapping_stores(tmp_path: Path) -> None:
    config = load({"MEDIA_DATA_DIR": str(tmp_path), "MEDIA_STORAGE_PUBLIC_URL": tmp_path.as_uri()})
    with pytest.raises(ConfigError, match=r"MEDIA_STORAGE_PUBLIC_URL.*MEDIA_STORAGE_RAW_URL"):
        async with app.base(config):
            pass
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize("store", ["RAW", "PUBLIC"])
async def test_the_error_about_an_unwritable_store_names_the_setting(
    tmp_path: Path, store: str
) -> None:
    (tmp_path / "file").touch()
    name = f"MEDIA_STORAGE_{store}_URL"
    config = load({"MEDIA_DATA_DIR": str(tmp_path), name: (tmp_path / "file" / "in").as_uri()})
    with pytest.raises(Unavailable, match=name):
        async with app.base(config):
            pass
    config = load({"MEDIA_DATA_DIR": str(tmp_path), name: "s3://UPPER"})
    with pytest.raises(ConfigError, match=name):
        async with app.base(config):
            pass
