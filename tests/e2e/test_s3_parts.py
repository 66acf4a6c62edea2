"""Parts on S3: through the service, directly to the bucket, and mixed with streams."""

import base64
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from crc32c import crc32c as crc32c_of

from media_service.ids import new_id
from tests.support.media.small_files import jpeg, video_bytes
from tests.support.rest import (
    client_of,
    content,
    create,
    media_of,
    offset_of,
    patch,
    refusal,
    resume,
)
from tests.support.rest_parts import complete, named, put, send, sign
from tests.support.service import Service
from tests.support.stores.s3_files import objects

MIB = 1 << 20
LEAST = 5 * MIB


@pytest.fixture
def user(on_s3: Service) -> Iterator[httpx.Client]:
    with client_of(on_s3, f"user-{new_id()}") as client:
        yield client


def test_parts_are_put_through_the_service_in_any_order(user: httpx.Client) -> None:
    data = video_bytes(2 * LEAST + 1000)
    upload = create(user, sizeBytes=len(data))
    for number in (3, 1, 2):
        start = (number - 1) * LEAST
        assert put(user, upload, number, data[start : start + LEAST]).status_code == 200
    assert complete(user, upload).json()["state"] == "FINISHED"
    assert content(user, media_of(user, upload)) == data


def test_a_part_below_the_minimum_can_only_be_the_last(user: httpx.Client) -> None:
    upload = create(user)
    assert put(user, upload, 2, video_bytes(1000)).status_code == 200
    refused = put(user, upload, 3, video_bytes(LEAST))
    assert refusal(refused) == (400, "PART_TOO_SMALL")
    assert refused.json()["details"][0]["metadata"]["part_number"] == "2"
    assert refusal(put(user, upload, 1, video_bytes(1000))) == (400, "PART_TOO_SMALL")
    assert put(user, upload, 1, video_bytes(LEAST)).status_code == 200


def test_a_part_above_the_maximum_is_refused(user: httpx.Client) -> None:
    upload = create(user)
    most = int(user.get(f"/v1/uploads/{upload}").json()["maxPartSizeBytes"])
    assert refusal(put(user, upload, 1, video_bytes(most + 1))) == (413, "CHUNK_TOO_LARGE")
    assert put(user, upload, 1, video_bytes(most)).status_code == 200


def test_signed_parts_are_uploaded_directly_to_the_bucket(
    user: httpx.Client, endpoint: str, folder: Path
) -> None:
    data = video_bytes(2 * LEAST + 1000)
    pieces = [data[:LEAST], data[LEAST : 2 * LEAST], data[2 * LEAST :]]
    upload = create(user)
    signed = sign(user, upload, *enumerate(pieces, 1))
    assert all(part["url"].startswith(endpoint) for part in signed)
    for part, piece in reversed(list(zip(signed, pieces, strict=True))):
        assert send(part, piece).status_code == 200
    listed = user.get(f"/v1/uploads/{upload}/parts").json()["parts"]
    assert all(part.pop("etag") for part in listed)
    assert listed == [
        {**named(number, piece), "sizeBytes": str(len(piece))}
        for number, piece in enumerate(pieces, 1)
    ]
    done = complete(user, upload).json()
    assert done["state"] == "FINISHED"
    assert done["media"]["checksums"]["crc32c"] == crc32c_of(data)
    assert content(user, media_of(user, upload)) == data
    # The URLs became invalid with the upload: the object cannot be overwritten.
    before = objects(folder)
    assert send(signed[0], pieces[0]).status_code in {403, 404}
    assert objects(folder) == before
    assert content(user, media_of(user, upload)) == data


def test_the_bucket_accepts_only_the_signed_bytes(user: httpx.Client) -> None:
    data = jpeg()
    upload = create(user)
    (part,) = sign(user, upload, (1, data))
    other = bytes([data[0] ^ 1, *data[1:]])
    for wrong in (other, data + b"more", data[:-1]):
        assert send(part, wrong).status_code in {400, 403}, len(wrong)
    checksum = base64.b64encode(crc32c_of(other).to_bytes(4)).decode()
    forged = {**part, "headers": dict.fromkeys(part["headers"], checksum)}
    assert send(forged, other).status_code in {400, 403}
    refused = complete(user, upload)
    assert refusal(refused) == (409, "UPLOAD_INCOMPLETE")
    assert send(part, data).status_code == 200
    assert complete(user, upload).json()["state"] == "FINISHED"


def test_one_upload_accepts_streams_parts_and_signed_urls(
    on_s3: Service, user: httpx.Client
) -> None:
    data = video_bytes(6 * LEAST + 1234)
    upload = create(user, sizeBytes=len(data))

    def number() -> int:
        return int(user.get(f"/v1/uploads/{upload}").json()["nextPartNumber"])

    assert patch(user, upload, 0, data[:LEAST]).status_code == 200
    assert put(user, upload, number(), data[LEAST : 2 * LEAST]).status_code == 200
    (part,) = sign(user, upload, (number(), data[2 * LEAST : 3 * LEAST]))
    assert send(part, data[2 * LEAST : 3 * LEAST]).status_code == 200
    # A stream continues after parts that were sent directly to the bucket.
    assert patch(user, upload, 3 * LEAST, data[3 * LEAST : 4 * LEAST]).status_code == 200
    # A signed part that did not arrive does not block it.
    (late,) = sign(user, upload, (number(), data[4 * LEAST : 5 * LEAST]))
    assert offset_of(user, upload) == 4 * LEAST
    assert resume(user, upload, data).json()["state"] == "FINISHED"
    assert send(late, data[4 * LEAST : 5 * LEAST]).status_code in {403, 404}
    assert content(user, media_of(user, upload)) == data


def test_orderly_streams_number_their_parts_without_a_gap(user: httpx.Client) -> None:
    """S3 requires consecutive numbers of parts with checksums."""
    data = video_bytes(3 * LEAST + MIB)
    upload = create(user, sizeBytes=len(data))
    for number in range(3):
        start = number * LEAST
        assert patch(user, upload, start, data[start : start + LEAST]).status_code == 200
    assert put(user, upload, 4, data[3 * LEAST :]).status_code == 200
    listed = user.get(f"/v1/uploads/{upload}/parts").json()["parts"]
    assert [part["partNumber"] for part in listed] == [1, 2, 3, 4]
    assert complete(user, upload).json()["state"] == "FINISHED"
    assert content(user, media_of(user, upload)) == data


@pytest.mark.parametrize("size", [MIB, LEAST + MIB])
def test_a_premature_finish_keeps_bytes_that_can_be_resumed(user: httpx.Client, size: int) -> None:
    data = video_bytes(2 * LEAST)
    upload = create(user, sizeBytes=len(data))
    refused = patch(user, upload, 0, data[:size], complete=True)
    assert refusal(refused) == (409, "UPLOAD_INCOMPLETE")
    assert offset_of(user, upload) in {0, size if size >= LEAST else 0}
    assert resume(user, upload, data).json()["state"] == "FINISHED"
    assert content(user, media_of(user, upload)) == data
