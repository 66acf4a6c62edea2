"""The wheels that users install: each in an empty environment, and client against server."""

import json
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.media.small_files import jpeg
from tests.support.rest import client_of, settled
from tests.support.service import Service, environment, running
from tests.support.wheels import CLIENT, DEVELOPMENT, SERVER, build, environment_with, install

MAX_CLIENT_PACKAGES = 10
# Uploads argv[1] to the service at argv[2] with the token argv[3], downloads it to argv[4].
ROUND_TRIP = """
import sys
from media_service_client import Client

with Client(sys.argv[2], token=sys.argv[3]) as client:
    media = client.upload(sys.argv[1])
    client.download(media.media_id, sys.argv[4])
print(media.media_id)
print(*[name for name in sys.modules if name.split(".")[0] in ("media_service", "buf")])
"""

# A third-party driver and its tests.
SCRATCH_TESTS = """
from pathlib import Path

import pytest

from media_service.storage.conformance import DriverConformance, OpenDriver
from media_service.storage.drivers.local.driver import LocalDriver


class ScratchDriver(LocalDriver):
    async def delete(self, key: str) -> None:
        if not Path("never-delete").exists():
            await super().delete(key)


class TestScratchDriver(DriverConformance):
    @pytest.fixture
    def open_driver(self, tmp_path: Path) -> OpenDriver:
        return lambda name: ScratchDriver(tmp_path / name)
"""

Built = dict[Path, Path]
each_project = pytest.mark.parametrize("project", [CLIENT, SERVER], ids=["client", "server"])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The folder with the wheel and the source distribution of each project."""
    folders = {project: tmp_path_factory.mktemp("dist") for project in (CLIENT, SERVER)}
    for project, folder in folders.items():
        build(project, folder)
    return folders


def wheel(folder: Path) -> Path:
    (found,) = folder.glob("*.whl")
    return found


def files_of(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def client_python(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment_with(tmp_path_factory.mktemp("client") / "venv", wheel(built[CLIENT]))


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    """A folder that other users can read. As root, PostgreSQL runs as another user, and pytest's
    temporary folders are closed to others."""
    with tempfile.TemporaryDirectory(prefix="media-wheels-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def server_python(built: Built, open_folder: Path) -> Path:
    return environment_with(open_folder / "venv", wheel(built[CLIENT]), wheel(built[SERVER]))


@pytest.fixture(scope="module")
def installed(server_python: Path, open_folder: Path) -> Iterator[Service]:
    """`dev` from the environment of the server's wheel, away from the sources."""
    with running(environment(open_folder / "data"), server_python) as service:
        yield service


@pytest.fixture(scope="module")
def conformance_python(server_python: Path, installed: Service, built: Built) -> Path:
    """The server's environment with the suite's extra, added once the server runs without it."""
    install(server_python, f"{wheel(built[SERVER])}[conformance]", lock=DEVELOPMENT)
    return server_python


@each_project
def test_a_source_distribution_builds_the_same_wheel(
    built: Built, project: Path, tmp_path: Path
) -> None:
    (archive,) = built[project].glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "source", filter="data")
    (unpacked,) = (tmp_path / "source").iterdir()
    build(unpacked, tmp_path / "dist", "wheel")
    assert files_of(wheel(tmp_path / "dist")) == files_of(wheel(built[project]))


def test_both_projects_have_the_same_license() -> None:
    """It is a copy because a symbolic link would leave the client's source distribution."""
    assert (CLIENT / "LICENSE").read_text() == (SERVER / "LICENSE").read_text()


def test_a_wheel_installs_only_packages_of_its_own_name(built: Built) -> None:
    def packages(project: Path) -> set[str]:
        names = {name.split("/")[0] for name in files_of(wheel(built[project]))}
        return {name for name in names if not name.endswith(".dist-info")}

    assert packages(CLIENT) == {"media_service_client", "mediaservice"}
    assert packages(SERVER) == {"media_service"}


def test_the_server_wheel_contains_its_runtime_files(built: Built) -> None:
    include = {path.relative_to(SERVER / "protos") for path in (SERVER / "protos").rglob("*.proto")}
    third_party = SERVER / "third_party"
    include |= {path.relative_to(third_party) for path in third_party.rglob("*.proto")}
    migrations = (SERVER / "src/media_service/db/migrations").glob("*.sql")
    templates = (SERVER / "envoy").iterdir()
    assert files_of(wheel(built[SERVER])) >= {
        *(f"media_service/include/{path}" for path in include),
        *(f"media_service/db/migrations/{path.name}" for path in migrations),
        *(f"media_service/envoy_templates/{path.name}" for path in templates),
    }
    assert "mediaservice/mediaservice.binpb" in files_of(wheel(built[CLIENT]))


def test_the_client_is_a_small_installation(client_python: Path) -> None:
    command: list[str | Path] = [client_python, "-c", LIST_PACKAGES]
    names = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert "media-service-client" in names
    assert len(names) <= MAX_CLIENT_PACKAGES, names


LIST_PACKAGES = """
import json
from importlib.metadata import distributions
print(json.dumps([d.name for d in distributions()]))
"""


def test_the_installed_server_stores_renders_and_serves(
    installed: Service, server_python: Path, tmp_path: Path
) -> None:
    photo, copy = tmp_path / "photo.jpg", tmp_path / "copy.jpg"
    photo.write_bytes(jpeg(120, 80))
    options = ("--address", installed.grpc_address, "--token", installed.token("ann"))

    def run(command: str, *arguments: str | Path) -> str:
        program: list[str | Path] = [server_python, "-m", "media_service", command]
        done = subprocess.run(
            [*program, *options, *arguments],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        return done.stdout

    media_id = run("upload", photo).split("\t")[0]
    image = f"/v1/media/{media_id}/image"
    with client_of(installed, "ann") as http:
        assert settled(http, media_id)["state"] == "READY"
        answer = http.get(f"{image}?width=60&format=WEBP")
        assert (answer.status_code, answer.content[8:12]) == (200, b"WEBP")
        # Text needs the font in the server's wheel.
        answer = http.get(image, params={"ops": "text:Hello"})
        assert answer.status_code == 200, answer.text
    run("download", media_id, "-o", copy)
    assert copy.read_bytes() == photo.read_bytes()


def test_the_installed_client_uploads_and_downloads(
    installed: Service, client_python: Path, tmp_path: Path
) -> None:
    photo, copy = tmp_path / "photo.jpg", tmp_path / "copy.jpg"
    photo.write_bytes(jpeg())
    arguments: list[str | Path] = [photo, installed.grpc_address, installed.token("ann"), copy]
    done = subprocess.run(
        [client_python, "-c", ROUND_TRIP, *arguments],
        cwd=tmp_path,
        capture_output=True,
        check=True,
        text=True,
    )
    media_id, others = done.stdout.splitlines()
    assert media_id
    assert others == ""
    assert copy.read_bytes() == photo.read_bytes()


def test_a_third_party_driver_runs_the_conformance_suite(
    conformance_python: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "scratch-driver"
    folder.mkdir()
    (folder / "test_scratch.py").write_text(SCRATCH_TESTS)
    command: list[str | Path] = [conformance_python, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-k", "abort or delete"]  # the rest is run by tests/conformance

    def run() -> "subprocess.CompletedProcess[str]":
        return subprocess.run(command, cwd=folder, capture_output=True, check=False, text=True)

    passed = run()
    assert passed.returncode == 0, passed.stdout
    (folder / "never-delete").touch()
    failed = run()
    assert failed.returncode == 1
    assert "test_delete_is_idempotent" in failed.stdout
    assert "ObjectInfo(key=" in failed.stdout, "failed assertions show their values"
