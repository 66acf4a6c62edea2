"""Temporary files do not outlive their process for long."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from media_service.temporary_files import TemporaryFolder, remove_leftovers, temporary_file

HOUR = timedelta(hours=1)
HOLDER = """
from media_service.temporary_files import TemporaryFolder, temporary_file
folder = TemporaryFolder("media-child-")
(folder.path / "inside").write_text("something")
with temporary_file("media-blob-") as file:
    print(folder.path, file.name, sep="\\n", flush=True)
    input()
"""


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """TMPDIR, in this process and in children."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def holder(scratch: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds an old directory and an old file."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    for _ in range(2):
        os.utime(process.stdout.readline().strip(), (0, 0))
    with process:
        yield process
        process.kill()


def names(folder: Path) -> list[str]:
    return sorted(path.name.rpartition("-")[0] for path in folder.iterdir())


def test_a_temporary_file_in_use_is_kept_at_any_age(
    scratch: Path, holder: subprocess.Popen[str]
) -> None:
    assert remove_leftovers(HOUR) == 0
    assert names(scratch) == ["media-blob", "media-child"]


def test_old_temporary_files_of_a_killed_process_are_removed(
    scratch: Path, holder: subprocess.Popen[str]
) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert remove_leftovers(HOUR) == 2
    assert names(scratch) == []


def test_recent_and_foreign_files_are_kept(scratch: Path) -> None:
    (scratch / "media-blob-young").touch()
    (scratch / "something-else").touch()
    os.utime(scratch / "something-else", (0, 0))
    assert remove_leftovers(HOUR) == 0


def test_symbolic_links_are_not_followed(scratch: Path) -> None:
    target = scratch / "precious"
    target.mkdir()
    (scratch / "media-child-link").symlink_to(target)
    os.utime(target, (0, 0))
    assert remove_leftovers(timedelta(0)) == 0
    assert target.is_dir()


def test_an_orderly_exit_leaves_no_temporary_files(scratch: Path) -> None:
    folder = TemporaryFolder("media-child-")
    (folder.path / "inside").touch()
    with temporary_file("media-blob-") as file:
        assert Path(file.name).parent == scratch
    folder.remove()
    folder.remove()
    assert names(scratch) == []
