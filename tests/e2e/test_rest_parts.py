"""Parts over REST (PutPart, ListParts), and by signed URLs, which need no token."""

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import jwt
import pytest
from crc32c import crc32c as crc32c_of

from tests.support.media.small_files import jpeg, video_bytes
from tests.support.rest import content, create, media_of, offset_of, patch, refusal, stored_files
from tests.support.rest_parts import complete, named, put, send, sign
from tests.support.service import Service
from tests.support.tools import NO_TLS, eventually

MIB = 1 << 20


@pytest.fixture
def stranger(service: Service) -> Iterator[httpx.Client]:
    """A client without a token."""
    with httpx.Client(
        base_url=service.base_url, timeout=30, trust_env=False, verify=NO_TLS
    ) as client:
        yield client


def test_eight_parts_are_uploaded_concurrently(alice: httpx.Client) -> None:
    data = video_bytes(8 * MIB)
    upload = create(alice, filename="video.mp4", sizeBytes=len(data))
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda n: put(alice, upload, n, data[(n - 1) * MIB : n * MIB]), range(8, 0, -1)
            )
        )
    assert [answer.status_code for answer in answers] == [200] * 8
    stored = answers[0].json()
    assert stored.pop("etag")
    assert stored == {
        "partNumber": 8,
        "sizeBytes": str(MIB),
        "crc32c": crc32c_of(data[7 * MIB :]),
    }
    assert offset_of(alice, upload) == len(data)
    listed = alice.get(f"/v1/uploads/{upload}/parts", params={"pageSize": 5}).json()
    assert [part["partNumber"] for part in listed["parts"]] == [1, 2, 3, 4, 5]
    assert complete(alice, upload).json()["state"] == "FINISHED"
    assert content(alice, media_of(alice, upload)) == data


def test_a_part_is_checked_against_its_digest(alice: httpx.Client) -> None:
    upload = create(alice)
    crc32c = base64.b64encode(crc32c_of(b"abc").to_bytes(4)).decode()
    refused = put(alice, upload, 1, b"abd", content_digest=f"crc32c=:{crc32c}:")
    assert refusal(refused) == (400, "CHECKSUM_MISMATCH")
    assert put(alice, upload, 1, b"abc", content_digest=f"crc32c=:{crc32c}:").status_code == 200
    assert refusal(put(alice, upload, 1, b"abd")) == (409, "PART_CONFLICT")
    assert refusal(put(alice, upload, 2, b"a", content_digest="nonsense")) == (
        400,
        "INVALID_HEADER",
    )


@pytest.mark.parametrize("number", ["0", "10001"])
def test_part_numbers_are_from_1_to_10000(alice: httpx.Client, number: str) -> None:
    upload = create(alice)
    answer = alice.put(f"/v1/uploads/{upload}/parts/{number}", content=b"a")
    assert refusal(answer) == (400, "INVALID_FIELD")


def test_an_error_names_missing_parts(alice: httpx.Client) -> None:
    upload = create(alice)
    put(alice, upload, 3, b"c")
    refused = complete(alice, upload)
    assert refusal(refused) == (409, "UPLOAD_INCOMPLETE")
    assert refused.json()["details"][0]["metadata"]["missing_parts"] == "1-2"
    refused = patch(alice, upload, 0, b"a")
    assert refusal(refused) == (409, "PARTS_OUTSTANDING")


def test_signed_parts_are_uploaded_without_a_token(
    alice: httpx.Client, stranger: httpx.Client
) -> None:
    data = video_bytes(3 * MIB)
    pieces = [data[:MIB], data[MIB : 2 * MIB], data[2 * MIB :]]
    upload = create(alice)
    signed = sign(alice, upload, *enumerate(pieces, 1))
    assert [part["partNumber"] for part in signed] == [1, 2, 3]
    for part, piece in reversed(list(zip(signed, pieces, strict=True))):
        assert part["url"].startswith("http://localhost:")
        answer = send(part, piece)
        assert answer.status_code == 200, answer.text
    # Repeating it is harmless.
    assert send(signed[1], pieces[1]).status_code == 200
    done = complete(alice, upload)
    assert done.json()["state"] == "FINISHED"
    assert content(alice, media_of(alice, upload)) == data
    # A URL becomes invalid with the end of its upload.
    assert refusal(send(signed[1], pieces[1])) == (403, "LINK_INVALID")


def test_a_signed_whole_file_is_bound_to_the_declared_size_and_checksum(
    alice: httpx.Client,
) -> None:
    data = jpeg()
    upload = create(alice, sizeBytes=len(data), checksums={"crc32c": crc32c_of(data)})
    (part,) = sign(alice, upload)
    assert send(part, data).status_code == 200
    assert complete(alice, upload).json()["media"]["kind"] == "IMAGE"


def test_invalid_parts_are_not_signed(alice: httpx.Client) -> None:
    for body in (
        {"parts": [{"partNumber": 1, "sizeBytes": 0}]},
        {"parts": [{"partNumber": 1, "sizeBytes": -1}]},
        {"parts": [{"crc32c": 4}]},
        {"parts": [named(1, b"a"), named(1, b"a")]},
        {"parts": [named(0, b"a")]},
        {"parts": [named(1, b"a")], "ttl": "604801s"},
    ):
        answer = alice.post(f"/v1/uploads/{create(alice)}:sign", json=body)
        assert refusal(answer) == (400, "INVALID_FIELD"), body


def test_a_signed_url_accepts_only_its_bytes(service: Service, alice: httpx.Client) -> None:
    upload = create(alice)
    before = stored_files(service)
    (part,) = sign(alice, upload, (1, b"right"))
    assert refusal(send(part, b"wrong")) == (400, "CHECKSUM_MISMATCH")
    assert refusal(send(part, b"right and more")) == (413, "SIZE_EXCEEDED")
    assert refusal(send(part, b"rig")) == (503, "INCOMPLETE_BODY")
    eventually(lambda: stored_files(service) == before)
    assert offset_of(alice, upload) == 0
    assert send(part, b"right").status_code == 200
    # Another URL for other bytes cannot be signed either.
    answer = alice.post(f"/v1/uploads/{upload}:sign", json={"parts": [named(1, b"other")]})
    assert refusal(answer) == (409, "PART_CONFLICT")


def test_a_file_of_another_type_than_declared_is_refused_on_completion(alice: httpx.Client) -> None:
    data = video_bytes(1000)
    upload = create(alice, contentType="image/jpeg")
    (part,) = sign(alice, upload, (1, data))
    assert send(part, data).status_code == 200
    assert refusal(complete(alice, upload)) == (415, "TYPE_MISMATCH")


def test_a_signed_part_that_never_arrived_is_missing(alice: httpx.Client) -> None:
    upload = create(alice)
    first, _ = sign(alice, upload, (1, jpeg()), (2, b"more"))
    send(first, jpeg())
    refused = complete(alice, upload)
    assert refusal(refused) == (409, "UPLOAD_INCOMPLETE")
    assert "2" in refused.json()["message"]
    answer = alice.get(f"/v1/uploads/{upload}/parts").json()
    assert [part["partNumber"] for part in answer["parts"]] == [1]
    assert [part["partNumber"] for part in answer["claimed"]] == [2]
    # Unless the caller omits it from its list of parts.
    assert complete(alice, upload, parts=[named(1, jpeg())]).json()["state"] == "FINISHED"


def test_a_stream_continues_where_a_signed_part_did_not_arrive(alice: httpx.Client) -> None:
    upload = create(alice)
    first, second = sign(alice, upload, (1, b"first"), (2, b"second"))
    send(first, b"first")
    answer = patch(alice, upload, 5, b"streamed")
    assert answer.json()["committedSizeBytes"] == "13"
    assert refusal(send(second, b"second")) == (403, "LINK_INVALID")
    assert offset_of(alice, upload) == 13


def test_a_forged_or_expired_upload_url_reveals_nothing(
    service: Service, alice: httpx.Client, stranger: httpx.Client
) -> None:
    upload = create(alice)
    (part,) = sign(alice, upload, (1, b"right"), ttl="1s")
    token = part["url"].rpartition("/")[2]
    answers = [
        stranger.put(f"/v1/signed/{bad}", content=b"right")
        for bad in (
            token[:-2],
            token[1:],
            "x",
            token.swapcase(),
            service.token("alice"),
            jwt.encode({"u": upload, "n": 1, "s": 5, "c": 0, "aud": "put"}, "k" * 32),
        )
    ]
    # Until it expires, other bytes are refused with a reason.
    answers.append(eventually(lambda: expired(stranger, token)))
    assert {refusal(answer) for answer in answers} == {(403, "LINK_INVALID")}
    assert len({answer.json()["message"] for answer in answers}) == 1
    assert offset_of(alice, upload) == 0


def expired(client: httpx.Client, token: str) -> httpx.Response | None:
    answer = client.put(f"/v1/signed/{token}", content=b"wrong")
    return answer if answer.status_code == 403 else None


def test_other_users_cannot_sign(service: Service, alice: httpx.Client) -> None:
    upload = create(alice)
    with httpx.Client(
        base_url=service.base_url, headers=service.bearer("bob"), trust_env=False, verify=NO_TLS
    ) as bob:
        answer = bob.post(f"/v1/uploads/{upload}:sign", json={"parts": [named(1, b"a")]})
        assert refusal(answer) == (404, "UPLOAD_NOT_FOUND")


def test_a_url_without_a_checksum_accepts_replacements_until_completion(
    alice: httpx.Client, stranger: httpx.Client
) -> None:
    upload = create(alice)
    answer = alice.post(f"/v1/uploads/{upload}:sign", json={"parts": [{"partNumber": 1}]})
    (signed,) = answer.raise_for_status().json()["parts"]
    first = stranger.put(signed["url"], content=video_bytes(1000)).raise_for_status().json()
    data = video_bytes(2000)
    url = f"{signed['url']}?x-id=UploadPart"  # as libraries of object stores send it
    second = stranger.put(url, content=data).raise_for_status().json()
    assert first["etag"] != second["etag"]
    (stored,) = alice.get(f"/v1/uploads/{upload}/parts").json()["parts"]
    assert stored == second
    stale = {"parts": [{"partNumber": 1, "etag": first["etag"]}]}
    assert refusal(alice.post(f"/v1/uploads/{upload}:complete", json=stale)) == (
        409,
        "PART_CONFLICT",
    )
    done = alice.post(f"/v1/uploads/{upload}:complete", json={"parts": [stored]})
    assert done.json()["media"]["sizeBytes"] == "2000"
    assert content(alice, done.json()["mediaId"]) == data
