"""Fixtures: `media-service dev` as a user starts it, on free ports in a fresh directory."""

import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.grpcurl import Grpcurl
from tests.support.service import S3_KEYS, Service, bucket, environment, running
from tests.support.stores.s3_server import s3_server
from tests.support.tools import NO_TLS, require_tool


@pytest.fixture(scope="session")
def service(browser_origin: str) -> Iterator[Service]:
    """One service for all tests, with two browser origins allowed. It renders nothing of a video
    by itself, because that would delay the jobs of other tests."""
    with tempfile.TemporaryDirectory(prefix="media-e2e-") as folder:
        environ = environment(
            Path(folder) / "data",
            MEDIA_JWT_SECRET=secrets.token_hex(32),
            MEDIA_VIDEO_PRESETS="-",
            MEDIA_CORS_ORIGINS=f"https://app.example,{browser_origin}",
        )
        with running(environ) as service:
            yield service


@pytest.fixture
def http(service: Service) -> Iterator[httpx.Client]:
    """A REST client without a token."""
    with httpx.Client(
        base_url=service.base_url, timeout=30, trust_env=False, verify=NO_TLS
    ) as client:
        yield client


@pytest.fixture
def alice(service: Service) -> Iterator[httpx.Client]:
    """A REST client of the user alice."""
    headers = service.bearer("alice")
    with httpx.Client(
        base_url=service.base_url, headers=headers, timeout=30, trust_env=False, verify=NO_TLS
    ) as client:
        yield client


# The same service on an S3 bucket.


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="media-s3-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def endpoint(folder: Path) -> Iterator[str]:
    with s3_server(folder / "s3") as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def on_s3(folder: Path, endpoint: str) -> Iterator[Service]:
    environ = environment(
        folder / "data",
        MEDIA_STORAGE_RAW_URL=bucket(endpoint),
        MEDIA_STORAGE_PUBLIC_URL=bucket(endpoint, prefix="for/all"),
        MEDIA_CDN_BASE_URL="https://cdn.example/for/all",
        **S3_KEYS,
    )
    with running(environ) as service:
        yield service


@pytest.fixture
def grpcurl(service: Service) -> Grpcurl:
    """Runs grpcurl as a user and returns its output."""
    program = require_tool("grpcurl")

    def run(*arguments: str, user: str = "olga", stdin: str = "") -> str:
        done = subprocess.run(
            [
                *(program, "-plaintext", "-H", f"authorization: Bearer {service.token(user)}"),
                *arguments,
            ],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return done.stdout if done.returncode == 0 else done.stderr

    return run
