"""The whole service on an S3 bucket instead of a directory."""

import asyncio
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from aiobotocore.session import get_session

from media_service.clock import now
from media_service.ids import new_id
from tests.support.media.small_files import jpeg, video_bytes
from tests.support.rest import (
    add_rendition,
    client_of,
    content,
    create,
    digest,
    media_of,
    offset_of,
    patch,
    public_url,
    refusal,
    resume,
    settled,
    sha256,
    show,
    store,
)
from tests.support.service import S3_KEYS as KEYS
from tests.support.service import Service, bucket
from tests.support.stores.s3_files import files_below, objects
from tests.support.stores.s3_server import ACCESS, BUCKET, SECRET
from tests.support.tools import NO_TLS, eventually

MIB = 1 << 20
PART = 8 * MIB


@pytest.fixture
def user(on_s3: Service) -> Iterator[httpx.Client]:
    with client_of(on_s3, f"user-{new_id()}") as client:
        yield client


def stored_type(endpoint: str, key: str) -> str:
    """The content type of an object in the store."""

    async def ask() -> str:
        session = get_session()
        async with session.create_client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=ACCESS,
            aws_secret_access_key=SECRET,
        ) as client:
            return str((await client.head_object(Bucket=BUCKET, Key=key))["ContentType"])

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, ask()).result()


def test_an_image_is_stored_inspected_and_fetched(
    on_s3: Service, user: httpx.Client, folder: Path
) -> None:
    data = jpeg()
    media = store(user, data)["mediaId"]
    assert settled(user, media)["state"] == "READY"
    assert content(user, media) == data
    part = user.get(f"/v1/media/{media}/content", headers={"range": "bytes=10-99"})
    assert (part.status_code, part.content) == (206, data[10:100])
    assert any(path.read_bytes() == data for path in objects(folder))
    assert not (on_s3.data_dir / "raw").exists()


def test_an_upload_in_parts_resumes_after_the_last_complete_part(user: httpx.Client) -> None:
    data = video_bytes(2 * PART + 3 * MIB)
    upload = create(user, sizeBytes=len(data))
    answer = patch(user, upload, 0, data[: PART + MIB], complete=False)
    assert answer.status_code == 200
    # Bytes below S3's minimum part size are not acknowledged, and are sent again.
    assert offset_of(user, upload) == PART
    assert resume(user, upload, data).json()["state"] == "FINISHED"
    assert content(user, media_of(user, upload)) == data
    assert sha256(settled(user, media_of(user, upload))) == hashlib.sha256(data).digest()


def test_an_append_below_the_minimum_part_size_is_refused_with_a_reason(user: httpx.Client) -> None:
    data = video_bytes(6 * MIB)
    upload = create(user, sizeBytes=len(data))
    assert user.get(f"/v1/uploads/{upload}").json()["minAppendSizeBytes"] == str(5 * MIB)
    refused = patch(user, upload, 0, data[:MIB], complete=False)
    assert refusal(refused) == (400, "APPEND_TOO_SMALL")
    assert offset_of(user, upload) == 0
    assert patch(user, upload, 0, data[: 5 * MIB], complete=False).status_code == 200
    # The last part may be of any size.
    assert (
        patch(user, upload, 5 * MIB, data[5 * MIB :], complete=True).json()["state"] == "FINISHED"
    )
    assert content(user, media_of(user, upload)) == data


def test_a_large_body_with_a_digest_is_stored_completely_or_not_at_all(user: httpx.Client) -> None:
    data = video_bytes(10 * PART)
    upload = create(user, sizeBytes=len(data))
    wrong = {"content_digest": digest(b"other")}
    refused = patch(user, upload, 0, data, complete=True, **wrong)
    assert refusal(refused) == (400, "CHECKSUM_MISMATCH")
    assert offset_of(user, upload) == 0
    done = patch(user, upload, 0, data, complete=True, content_digest=digest(data))
    assert done.json()["state"] == "FINISHED"
    assert content(user, media_of(user, upload)) == data


def test_an_upload_in_one_request_is_stored_whole(user: httpx.Client) -> None:
    data = video_bytes(PART + 5 * MIB)
    media = store(user, data)["mediaId"]
    assert content(user, media) == data


def test_a_direct_link_points_to_the_bucket(user: httpx.Client, endpoint: str) -> None:
    data = jpeg()
    media = store(user, data, "sea side.jpg")["mediaId"]
    wanted = {"direct": True, "attachment": True, "ttl": "90.5s"}
    before = now()
    answer = user.post(f"/v1/media/{media}:signUrl", json=wanted).json()
    assert answer["url"].startswith(f"{endpoint}/{BUCKET}/")
    expire = datetime.fromisoformat(answer["expireTime"])
    assert before + timedelta(seconds=90) <= expire <= now() + timedelta(seconds=91)
    with httpx.Client(trust_env=False, verify=NO_TLS) as anybody:
        read = anybody.get(answer["url"], headers={"range": "bytes=10-19"})
        assert (read.status_code, read.content) == (206, data[10:20])
        assert read.headers["content-type"] == "image/jpeg"
        assert read.headers["content-disposition"] == 'attachment; filename="sea side.jpg"'
        assert anybody.get(answer["url"]).content == data
        assert anybody.get(answer["url"].replace("Expires=91", "Expires=9100")).status_code == 403
    through = user.post(f"/v1/media/{media}:signUrl", json={}).json()["url"]
    assert user.get(urlsplit(through).path, headers={"authorization": ""}).content == data


def test_a_direct_link_to_a_file_with_a_script_offers_it_for_saving(user: httpx.Client) -> None:
    script = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    media = store(user, script, "page.svg")["mediaId"]
    url = user.post(f"/v1/media/{media}:signUrl", json={"direct": True}).json()["url"]
    with httpx.Client(trust_env=False) as anybody:
        headers = anybody.get(url).headers
    assert headers["content-disposition"] == 'attachment; filename="page.svg"'


def test_the_client_stores_and_fetches(on_s3: Service, tmp_path: Path) -> None:
    data = video_bytes(3 * PART)
    file, copy = tmp_path / "video.mp4", tmp_path / "copy.mp4"
    file.write_bytes(data)
    environ = {
        **on_s3.environ,
        "MEDIA_ADDRESS": on_s3.grpc_address,
        "MEDIA_TOKEN": on_s3.token("alice"),
    }
    program = [sys.executable, "-m", "media_service"]
    done = subprocess.run(
        [*program, "upload", str(file)], env=environ, capture_output=True, text=True, check=True
    )
    media = done.stdout.split("\t")[0]
    subprocess.run([*program, "download", media, "-o", str(copy)], env=environ, check=True)
    assert copy.read_bytes() == data


def test_an_aborted_upload_leaves_nothing_in_the_bucket(user: httpx.Client, folder: Path) -> None:
    before = set(objects(folder))
    upload = create(user)
    patch(user, upload, 0, video_bytes(PART), complete=False)
    assert set(objects(folder)) > before
    user.delete(f"/v1/uploads/{upload}").raise_for_status()
    eventually(lambda: set(objects(folder)) <= before)
    assert refusal(user.get(f"/v1/media/{media_of(user, upload)}")) == (404, "MEDIA_NOT_FOUND")


@pytest.mark.parametrize("size", [1000, 2 * PART + MIB])
def test_only_public_renditions_are_in_the_public_bucket(
    on_s3: Service,
    user: httpx.Client,
    endpoint: str,
    folder: Path,
    size: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    data = video_bytes(size)
    media = store(user, jpeg())["mediaId"]
    add_rendition(on_s3, media, "given", data)
    public = folder / "s3" / BUCKET / "for/all/blobs"
    assert not files_below(public)
    show(user, media, "PUBLIC")
    url = public_url(user, media, "given")
    assert url.startswith("https://cdn.example/for/all/blobs/")
    key = url.removeprefix("https://cdn.example/")
    assert (folder / "s3" / BUCKET / key).read_bytes() == data
    assert stored_type(endpoint, key) == "image/webp"
    # It is served without the CDN as well.
    path = url.removeprefix("https://cdn.example/for/all")
    with httpx.Client(base_url=on_s3.base_url, trust_env=False, verify=NO_TLS) as anybody:
        assert anybody.get(f"/v1/public{path}").content == data
    show(user, media, "PRIVATE")
    eventually(lambda: not files_below(public))
    assert user.get(f"/v1/media/{media}/renditions/given/content").content == data


@pytest.mark.parametrize(
    ("name", "keys", "says"),
    [
        ("nowhere", KEYS, "bucket nowhere is not readable and writable"),
        (BUCKET, {**KEYS, "AWS_SECRET_ACCESS_KEY": "wrong"}, "SignatureDoesNotMatch"),
    ],
)
def test_an_unusable_bucket_prevents_startup(
    on_s3: Service, endpoint: str, name: str, keys: dict[str, str], says: str
) -> None:
    environ = {
        **on_s3.environ,
        **keys,
        "MEDIA_DATABASE_URL": "postgresql://127.0.0.1:1/none",
        "MEDIA_JWT_SECRET": on_s3.secret,
        "MEDIA_STORAGE_RAW_URL": bucket(endpoint, name),
    }
    done = subprocess.run(
        [sys.executable, "-m", "media_service", "serve"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "MEDIA_STORAGE_RAW_URL" in done.stderr
    assert says in done.stderr
