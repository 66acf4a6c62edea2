"""`media-service reconcile` as an operator runs it."""

import asyncio
import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from media_service.ids import new_id
from media_service.media.model import MediaState
from tests.support.crash.service_process import start_process
from tests.support.media.small_files import jpeg
from tests.support.reconciling import Service

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(database_url: str, tmp_path: Path) -> Run:
    """Runs the command on the database and the directory of `on_disk`, in another process."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("MEDIA_")}
    environ = {**own, "MEDIA_DATABASE_URL": database_url, "MEDIA_DATA_DIR": str(tmp_path)}

    def reconcile(*options: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = ["reconcile", *options]
        with tempfile.TemporaryDirectory() as folder:
            stderr, stdout = Path(folder) / "stderr", Path(folder) / "stdout"
            code = start_process(command, {**environ, **more}, stderr, stdout).wait(60)
            return subprocess.CompletedProcess(
                command, code, stdout.read_text(), stderr.read_text()
            )

    return reconcile


async def test_a_clean_store_exits_with_0(on_disk: Service, run: Run) -> None:
    await on_disk.upload()
    done = await asyncio.to_thread(run)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines() == [
        "Checked 1 blobs and 1 objects of raw.",
        "Checked 0 blobs and 0 objects of public.",
        "No findings.",
    ]


async def test_findings_are_printed_as_lines_of_fields_and_exit_with_1(
    on_disk: Service, run: Run, tmp_path: Path
) -> None:
    lost, damaged = await on_disk.upload(), await on_disk.upload()
    lost_key = (await on_disk.known(lost)).blob.key
    damaged_key = (await on_disk.known(damaged)).blob.key
    await on_disk.driver.delete(lost_key)
    await on_disk.driver.put(damaged_key, bytes(len(jpeg())))
    orphan = on_disk.store.key(new_id())
    await on_disk.driver.put(orphan, b"unreferenced")
    os.utime(tmp_path / "raw" / orphan, (0, 0))
    await on_disk.driver.put(on_disk.store.key(new_id()), b"not yet referenced")
    done = await asyncio.to_thread(run)
    assert done.returncode == 1
    assert sorted(line.split("\t")[:3] for line in done.stdout.splitlines()) == [
        ["CORRUPT", damaged_key, damaged],
        ["MISSING", lost_key, lost],
        ["ORPHANED", orphan, "-"],
    ]
    assert "Found: 1 missing, 1 corrupt, 1 orphaned." in done.stderr
    assert "--repair" in done.stderr
    quick = await asyncio.to_thread(run, "--no-checksums", "--json")
    found = [json.loads(line) for line in quick.stdout.splitlines()]
    assert [(each["kind"], each["key"], each["mediaIds"]) for each in found] == [
        ("MISSING", lost_key, [lost]),
        ("ORPHANED", orphan, []),
    ]


async def test_repair_prints_every_finding(on_disk: Service, run: Run, tmp_path: Path) -> None:
    lost, _ = await on_disk.upload(), await on_disk.upload()
    await on_disk.driver.delete((await on_disk.known(lost)).blob.key)
    orphan = on_disk.store.key(new_id())
    await on_disk.driver.put(orphan, b"unreferenced")
    os.utime(tmp_path / "raw" / orphan, (0, 0))
    done = await asyncio.to_thread(run, "--repair")
    assert done.returncode == 1
    assert "Found: 1 missing, 1 orphaned (repaired)." in done.stderr
    assert "quarantine" in done.stderr
    assert (await on_disk.known(lost)).state is MediaState.QUARANTINED
    assert await on_disk.driver.stat(orphan) is None
    await on_disk.driver.put((await on_disk.known(lost)).blob.key, jpeg())
    done = await asyncio.to_thread(run, "--repair")
    assert done.returncode == 0
    assert done.stdout.startswith("RECOVERED\t")
    assert (await asyncio.to_thread(run)).returncode == 0


def test_errors_exit_with_2_and_a_message(run: Run, tmp_path: Path, postgres: str) -> None:
    done = run(MEDIA_DATABASE_URL="postgresql://127.0.0.1:1/none")
    assert (done.returncode, "MEDIA_DATABASE_URL" in done.stderr) == (2, True)
    done = run("--older-than", "soon")
    assert (done.returncode, "such as 30s" in done.stderr) == (2, True)
    done = run(MEDIA_STORAGE_RAW_URL="file:///proc/nowhere")
    assert (done.returncode, "MEDIA_STORAGE_RAW_URL" in done.stderr) == (2, True)
    done = run(MEDIA_DATABASE_URL="")
    assert (done.returncode, "set MEDIA_DATABASE_URL" in done.stderr) == (2, True)
    assert not (tmp_path / "postgres").exists(), "reconcile created a database"


def test_a_database_without_the_schema_is_reported(run: Run, postgres: str) -> None:
    name = f"empty_{new_id().replace('-', '')}"
    with psycopg.connect(postgres, autocommit=True) as db:
        db.execute(f"create database {name}".encode())
        try:
            url = postgres.replace("/postgres?", f"/{name}?")
            done = run(MEDIA_DATABASE_URL=url)
        finally:
            db.execute(f"drop database {name} with (force)".encode())
    assert (done.returncode, "media-service migrate" in done.stderr) == (2, True)
    assert "Traceback" not in done.stderr


async def test_the_store_of_another_service_is_reported(on_disk: Service, run: Run) -> None:
    for _ in range(120):
        await on_disk.driver.put(on_disk.store.key(new_id()), b"another's")
    done = await asyncio.to_thread(run, "--repair", "--older-than", "1s")
    assert (done.returncode, "does not belong to this database" in done.stderr) == (2, True)
    assert len([info async for info in on_disk.driver.list("blobs/")]) == 120
