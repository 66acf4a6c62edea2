"""URLs of S3 stores."""

import pytest

from media_service.storage.drivers.s3.location import S3Location, parse_location


def test_a_bucket_is_enough() -> None:
    assert parse_location("s3://media") == S3Location("media")


@pytest.mark.parametrize("path", ["/a/b", "/a/b/", "//a/b//"])
def test_a_prefix_ends_with_one_slash(path: str) -> None:
    assert parse_location(f"s3://media{path}").prefix == "a/b/"


def test_every_option_is_read() -> None:
    url = (
        "s3://media/p?endpoint=http://127.0.0.1:8333&region=eu-central-1&path_style=true"
        "&encryption=aws:kms&kms_key=alias/media&storage_class=STANDARD_IA"
    )
    assert parse_location(url) == S3Location(
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
    ("url", "message"),
    [
        ("s3://", "a valid bucket name"),
        ("s3://A", "a valid bucket name"),
        ("s3://key:secret@media", "a valid bucket name"),
        ("s3://media?regoin=x", "endpoint, region, path_style"),
        ("s3://media?region=a&region=b", "each at most once"),
        ("s3://media?path_style=yes", "true or false"),
        ("s3://media?encryption=rot13", "AES256 or aws:kms"),
        ("s3://media?kms_key=k", "only with encryption=aws:kms"),
        ("s3://media?endpoint=127.0.0.1:8333", "http://HOST:PORT"),
        ("s3://media?endpoint=http://h/path", "http://HOST:PORT"),
    ],
)
def test_the_error_for_a_bad_url_states_what_is_allowed(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_location(url)
