"""`media-service reconcile` next to a running `dev`, and on the data of a stopped one."""

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.media.small_files import jpeg
from tests.support.rest import client_of, content, files_with, settled, store
from tests.support.service import alive, environment, running, start
from tests.support.tools import eventually


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="media-reconcile-") as name:
        yield Path(name) / "data"


def command(environ: dict[str, str], *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "media_service", "reconcile", *options],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def reconcile(environ: dict[str, str], *options: str) -> tuple[int, str]:
    process = command(environ, *options)
    printed, complaints = process.communicate(timeout=60)
    assert "Traceback" not in complaints
    return process.returncode, printed


def postgres_of(folder: Path) -> list[psutil.Process]:
    found = [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"]]
    return [p for p in found if str(folder / "postgres") in p.info["cmdline"]]


def test_reconcile_uses_the_database_of_dev_and_leaves_it_as_it_was(folder: Path) -> None:
    environ, data = environment(folder), jpeg()
    with running(environ) as service, client_of(service, "ann") as ann:
        media = settled(ann, store(ann, data)["mediaId"])["mediaId"]
        postgres = service.postgres()
        assert reconcile(environ) == (0, "")
        assert service.postgres() == postgres
        assert postgres.is_running()
        assert content(ann, media) == data
        # It repairs findings while the service runs, and the service sees that at once.
        (blob,) = files_with(service, data)
        hidden = blob.rename(folder / "hidden")
        assert reconcile(environ, "--repair")[0] == 1
        assert ann.get(f"/v1/media/{media}").json()["state"] == "QUARANTINED"
        hidden.rename(blob)
        assert reconcile(environ, "--repair")[0] == 0
        assert ann.get(f"/v1/media/{media}").json()["state"] != "QUARANTINED"
        assert content(ann, media) == data
    # Nothing is running now, and nothing is afterward.
    assert reconcile(environ) == (0, "")
    assert postgres_of(folder) == []
    blob.unlink()
    status, printed = reconcile(environ)
    assert (status, printed.split("\t")[0]) == (1, "MISSING")
    assert postgres_of(folder) == []
    # The database of a killed dev, which keeps running, is taken over and stopped.
    killed = start(environ)
    family = killed.children()
    killed.process.kill()
    killed.process.wait()
    assert alive(family) == []
    assert reconcile(environ)[0] == 1
    assert postgres_of(folder) == []


@pytest.fixture
def stopped(folder: Path) -> Path:
    """The data of a `dev` that was stopped, usually that of the test before."""
    if not folder.exists():
        with running(environment(folder)):
            pass
    return folder


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_reconcile_leaves_no_database_running(
    stopped: Path, number: signal.Signals
) -> None:
    process = command(environment(stopped))
    eventually(lambda: postgres_of(stopped))
    process.send_signal(number)
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 130
    assert complaints.splitlines() == ["media-service: stopped before the end"]
    assert postgres_of(stopped) == []
