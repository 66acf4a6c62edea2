"""A contract that would break callers of the released REST surface is refused."""

import pytest

from contract.__main__ import RELEASED_REST
from contract.descriptors import Contract
from contract.surface import breaks, facts, parse, text

FACTS = facts(Contract.current())
ROUTE = "MediaService.GetMedia GET /v1/media/{media_id}"


def test_the_released_surface_is_served() -> None:
    assert breaks(parse(RELEASED_REST.read_text()), FACTS) == []


def test_a_written_snapshot_is_read_back_unchanged() -> None:
    assert parse(text(FACTS)) == FACTS


def test_the_snapshot_covers_routes_rules_limits_and_reasons() -> None:
    assert FACTS[f"{ROUTE} body"] == "none"
    assert FACTS["MediaService.PurgeMedia permission"] == "media.purge"
    assert FACTS["UploadService.WriteUpload streams"] == "request"
    assert FACTS["GetMediaRequest.media_id rule string.uuid"] == "True"
    assert FACTS["Operation.Blur.sigma default"] == "3"
    assert FACTS["reason MEDIA_NOT_READY http_status"] == "503"


def without(path: str, value: str | None) -> dict[str, str]:
    """The facts with one value replaced, or removed if it is None."""
    rest = {key: FACTS[key] for key in FACTS if key != path}
    return rest if value is None else {**rest, path: value}


@pytest.mark.parametrize(
    ("path", "value", "change"),
    [
        (f"{ROUTE} body", None, "removed"),
        (f"{ROUTE} body", "*", "changed"),
        ("MediaService.GetMedia permission", "media.write", "changed"),
        ("UploadService.WriteUpload streams", "none", "changed"),
        ("reason MEDIA_NOT_READY code", "FAILED_PRECONDITION", "changed"),
        ("reason MEDIA_NOT_READY metadata", "none", "changed"),
        ("SignUrlRequest.ops rule string.max_len", "999", "changed"),
        ("SignUrlRequest.ttl rule duration.lte.seconds", "3600", "changed"),
        ("SignUrlRequest.rendition rule string.min_len", "1", "new restriction"),
        ("Operation.Blur.sigma default", "4", "changed"),
    ],
)
def test_a_breaking_change_is_named(path: str, value: str | None, change: str) -> None:
    (line,) = breaks(FACTS, without(path, value))
    assert line.startswith(f"{change}: {path}: ")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("MediaService.GetMedia GET /v1/files/{media_id} body", "none"),
        ("NewRequest.name rule string.min_len", "1"),
        ("SignUrlRequest.ops rule string.max_len", "2000"),
        ("SignUrlRequest.ops rule string.max_len", None),
        ("SignUrlRequest.ttl rule duration.lte.seconds", "1000000"),
        ("reason MEDIA_NOT_READY metadata", "media_id, state"),
        ("reason NEW_REASON code", "NOT_FOUND"),
    ],
)
def test_a_compatible_change_passes(path: str, value: str | None) -> None:
    assert breaks(FACTS, without(path, value)) == []
