"""`media-service dev`: one command that starts everything and leaves no processes behind."""

import json
import platform
import secrets
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import psutil
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from media_service.clock import now
from media_service.config import Config, variable
from tests.support.media.numbered_frames import counted
from tests.support.media.small_files import jpeg
from tests.support.rest import NO_MEDIA, client_of, settled, store
from tests.support.service import STOP_SECONDS, Service, alive, environment, running, start
from tests.support.tools import NO_TLS, eventually


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="media-dev-") as name:
        yield Path(name) / "data"


def refusal(environ: dict[str, str], role: str = "dev", *python: str) -> str:
    """The error with which a process refuses to start; it exits with 2."""
    done = subprocess.run(
        [*(python or [sys.executable]), "-m", "media_service", role],
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    return done.stderr


def test_a_second_dev_in_the_same_data_directory_is_refused(service: Service) -> None:
    assert "MEDIA_DATA_DIR" in refusal(environment(service.data_dir))


@pytest.mark.parametrize("variable", ["MEDIA_GRPC_PORT", "MEDIA_REST_PORT"])
def test_dev_names_a_port_that_is_in_use(service: Service, folder: Path, variable: str) -> None:
    taken = {variable: service.environ[variable]}
    words = refusal(environment(folder, **taken))
    assert f"port {taken[variable]}" in words
    assert f"set {variable}" in words


def test_dev_listens_on_loopback_only(folder: Path) -> None:
    words = refusal(environment(folder, MEDIA_HOST="192.0.2.1"))
    assert "loopback" in words
    assert not folder.exists()


def test_dev_names_an_invalid_setting(folder: Path) -> None:
    assert "MEDIA_MAX_PIXELS" in refusal(environment(folder, MEDIA_MAX_PIXELS="many"))


def renditions(user: httpx.Client, media: str) -> set[str]:
    found = user.get(f"/v1/media/{media}").raise_for_status().json()
    return {rendition["name"] for rendition in found.get("renditions", [])}


@pytest.fixture(scope="module")
def second() -> Iterator[Service]:
    """A service with the default settings, which `take_over` kills."""
    with tempfile.TemporaryDirectory(prefix="media-dev-") as name:
        service = start(environment(Path(name) / "data"))
        yield service
        if service.process.poll() is None:
            assert service.stop() == 0


def test_a_second_dev_is_ready_to_use_and_has_its_own_secret(
    service: Service, second: Service
) -> None:
    token = next(x for x in second.welcome if "TOKEN=" in x).partition("=")[2]
    headers = {"authorization": f"Bearer {token}"}
    answer = httpx.get(
        f"{second.base_url}/v1/media", headers=headers, trust_env=False, verify=NO_TLS
    )
    assert answer.json() == NO_MEDIA
    with httpx.Client(
        base_url=second.base_url, headers=headers, trust_env=False, verify=NO_TLS
    ) as user:
        media = store(user, counted(1), "video.mp4")["mediaId"]
        presets = {"stream", "poster", "storyboard", "preview"}
        eventually(lambda: presets <= renditions(user, media), 60)
    # The first service has another key.
    answer = httpx.get(
        f"{service.base_url}/v1/media", headers=headers, trust_env=False, verify=NO_TLS
    )
    assert answer.status_code == 401
    assert stat.S_IMODE((second.data_dir / "jwt-secret").stat().st_mode) == 0o600
    assert stat.S_IMODE((second.data_dir / "raw").stat().st_mode) == 0o700
    commands = [line for line in second.welcome if second.base_url in line]
    assert [line for line in commands if "/v1/media:upload" in line]
    assert [line for line in second.welcome if second.grpc_address in line and "grpcurl" in line]


# Without Landlock

WITHOUT_LANDLOCK = (sys.executable, "-m", "tests.support.without_landlock")
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "the id", "AWS_SECRET_ACCESS_KEY": "the secret"}


@pytest.fixture(scope="module")
def degraded() -> Iterator[tuple[Service, Path]]:
    """A service on a machine without Landlock, with secrets of all kinds, and its log."""
    with tempfile.TemporaryDirectory(prefix="media-dev-") as name:
        environ = environment(
            Path(name) / "data",
            MEDIA_JWT_SECRET=secrets.token_hex(32),
            MEDIA_LINK_KEYS=secrets.token_hex(32),
            **CREDENTIALS,
        )
        log = Path(name) / "log"
        with log.open("w") as stderr, running(environ, *WITHOUT_LANDLOCK, stderr=stderr) as service:
            yield service, log


def test_dev_and_its_processes_warn_that_the_machine_lacks_landlock(
    degraded: tuple[Service, Path],
) -> None:
    log = degraded[1].read_text()
    lack = f"Linux {platform.release()} lacks Landlock"
    assert f"WARNING: do not open files of strangers. {lack}" in log
    assert log.count(f"MEDIA_SANDBOX=degraded: {lack}") >= len(["serve", "work"])


def test_pages_of_localhost_may_call_dev(degraded: tuple[Service, Path]) -> None:
    def granted(origin: str) -> str:
        headers = {"origin": origin, "access-control-request-method": "POST"}
        answer = httpx.options(
            f"{degraded[0].base_url}/v1/media:upload", headers=headers, verify=NO_TLS
        )
        assert answer.status_code == 200
        return str(answer.headers.get("access-control-allow-origin", ""))

    for origin in ("http://localhost:3000", "http://127.0.0.1", "https://[::1]:5173"):
        assert granted(origin) == origin
    for origin in ("http://localhost.example:3000", "https://localhost:3000.example", "null"):
        assert granted(origin) == ""


def test_each_process_gets_only_the_secrets_that_it_uses(degraded: tuple[Service, Path]) -> None:
    service, _ = degraded
    worker = {"MEDIA_DATABASE_URL", "MEDIA_WEBHOOK_KEYS", *CREDENTIALS}
    assert held_by(service.part("work")) == worker
    assert held_by(service.part("serve")) == worker | {"MEDIA_JWT_SECRET", "MEDIA_LINK_KEYS"}
    assert held_by(envoy_of(service)) == set()
    assert held_by(service.postgres()) == set()


def envoy_of(service: Service) -> psutil.Process:
    (envoy,) = [p for p in service.children() if p.name() == "envoy"]
    return envoy


def held_by(process: psutil.Process) -> set[str]:
    """The secrets in the environment of a process."""
    known = {variable(f.name) for f in fields(Config) if f.metadata["masked"]} | {*CREDENTIALS}
    return {name for name, value in process.environ().items() if name in known and value}


@pytest.mark.parametrize("role", ["serve", "work", "dev"])
def test_a_machine_without_landlock_is_refused_unless_degraded(folder: Path, role: str) -> None:
    environ = environment(
        folder, MEDIA_SANDBOX="required", MEDIA_DATABASE_URL="postgresql://localhost/none"
    )
    words = refusal(environ, role, *WITHOUT_LANDLOCK)
    assert f"Linux {platform.release()} lacks Landlock" in words
    assert "MEDIA_SANDBOX=degraded" in words
    assert not folder.exists()


def test_dev_signs_links_when_tokens_are_verified_by_a_key_set(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    keys = folder.parent / "jwks.json"
    keys.write_text(json.dumps({"keys": [ECAlgorithm.to_jwk(key.public_key(), as_dict=True)]}))
    token = jwt.encode({"sub": "alice", "exp": now() + timedelta(hours=1)}, key, algorithm="ES256")
    with running(environment(folder, MEDIA_JWT_JWKS=keys.as_uri())) as service:
        headers = {"authorization": f"Bearer {token}"}
        base: dict[str, Any] = {"base_url": service.base_url, "trust_env": False, "verify": NO_TLS}
        with httpx.Client(headers=headers, **base) as alice, httpx.Client(**base) as anybody:
            media = store(alice, jpeg())["mediaId"]
            url = alice.get(f"/v1/media/{media}", params={"signReadUrls": "true"}).json()["readUrl"]
            assert anybody.get(urlsplit(url).path).content == jpeg()
        assert not (folder / "jwt-secret").exists()
        assert stat.S_IMODE((folder / "link-key").stat().st_mode) == 0o600


@dataclass(frozen=True)
class TakeOver:
    """What was left of a killed `dev`, and the next one on the same data."""

    children: list[psutil.Process]
    postgres: psutil.Process
    next: Service


@pytest.fixture(scope="module")
def take_over(second: Service) -> Iterator[TakeOver]:
    children, postgres = second.children(), second.postgres()
    second.process.kill()
    second.process.wait(STOP_SECONDS)
    assert alive(children) == []
    assert postgres.is_running()
    with running(second.environ) as after:
        yield TakeOver(children, postgres, after)


def test_a_killed_dev_leaves_only_postgresql_which_the_next_one_takes_over(
    take_over: TakeOver,
) -> None:
    assert len(take_over.children) >= 3
    assert take_over.next.postgres() == take_over.postgres


def test_the_end_of_one_child_process_stops_all_and_is_reported(take_over: TakeOver) -> None:
    service = take_over.next
    family = [*service.children(), service.postgres()]
    worker = service.part("work")
    worker.terminate()
    assert service.process.wait(STOP_SECONDS) == 1
    assert alive(family) == []


def test_processes_that_are_killed_at_once_are_restarted(degraded: tuple[Service, Path]) -> None:
    service, log = degraded
    killed = [service.part("work"), service.part("serve"), envoy_of(service)]
    for process in killed:
        process.kill()
    psutil.wait_procs(killed, timeout=STOP_SECONDS)
    with client_of(service, "ann") as ann:
        eventually(lambda: answers(ann))
        assert settled(ann, store(ann, jpeg())["mediaId"])["state"] == "READY"
    for name in ("worker", "server", "Envoy"):
        assert f"The {name} was killed (signal 9). It restarts in 1 s." in log.read_text()


def test_a_killed_postgresql_is_restarted(degraded: tuple[Service, Path]) -> None:
    service, log = degraded
    killed = service.postgres()
    killed.kill()
    eventually(lambda: "PostgreSQL has ended." in log.read_text())
    with client_of(service, "ann") as ann:
        eventually(lambda: answers(ann))
        assert settled(ann, store(ann, jpeg())["mediaId"])["state"] == "READY"
    assert service.postgres() != killed


def answers(caller: httpx.Client) -> bool:
    try:
        return caller.get("/v1/media").status_code == 200
    except httpx.TransportError:  # Envoy is not back yet
        return False
