"""An S3 store in one URL."""

import pytest

from media_service.storage.s3_location import S3Location, s3_location


def test_a_bucket_is_enough() -> None:
    assert s3_location("s3://media") == S3Location("media")


@pytest.mark.parametrize("path", ["/a/b", "/a/b/", "//a/b//"])
def test_a_prefix_ends_with_one_slash(path: str) -> None:
    assert s3_location(f"s3://media{path}").prefix == "a/b/"


def test_every_option_is_read() -> None:
    url = (
        "s3://media/p?endpoint=http://127.0.0.1:8333&region=eu-central-1&path_style=true"
        "&encryption=aws:kms&kms_key=alias/media&storage_class=STANDARD_IA"
    )
    assert s3_location(url) == S3Location(
        "media",
        "p/",
        endpoint="http://127.0.0.1:8333",
        region="eu-central-1",
        path_style=True,
        encryption="aws:kms",
        kms_key="alias/media",
        storage_class="STANDARD_IA",
    )


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("s3://", "name of a bucket"),
        ("s3://A", "name of a bucket"),
        ("s3://key:secret@media", "name of a bucket"),
        ("s3://media?regoin=x", "endpoint, region, path_style"),
        ("s3://media?region=a&region=b", "each once"),
        ("s3://media?path_style=yes", "true or false"),
        ("s3://media?encryption=rot13", "AES256 or aws:kms"),
        ("s3://media?kms_key=k", "only with encryption=aws:kms"),
        ("s3://media?endpoint=127.0.0.1:8333", "http://HOST:PORT"),
        ("s3://media?endpoint=http://h/path", "http://HOST:PORT"),
    ],
)
def test_a_wrong_url_is_told_what_is_allowed(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        s3_location(url)
