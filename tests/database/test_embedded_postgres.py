"""The PostgreSQL of the data directory: starting, stopping, adopting, and what it does not see."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from media_service.db.embedded_postgres import (
    HIDDEN,
    MALLOC,
    SOCKET_PATH_BYTES,
    EmbeddedPostgres,
    PostgresFailed,
    environment,
    postmaster,
    programs,
    running_postgres,
    shared_buffers,
)


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """A folder below one that other users can enter: as root, PostgreSQL runs as another user."""
    with tempfile.TemporaryDirectory(prefix="media-test-") as folder:
        postgres = EmbeddedPostgres(Path(folder) / "postgres")
        postgres.stop()
        yield Path(folder) / "postgres"


@contextmanager
def started(folder: Path) -> Iterator[EmbeddedPostgres]:
    postgres = EmbeddedPostgres(folder)
    try:
        yield postgres
    finally:
        postgres.stop()
        assert not postgres.running


def process_of(folder: Path) -> psutil.Process:
    found = postmaster(folder.resolve())
    assert found is not None
    return found.process


def answer(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row and row[0]


def test_a_server_that_outlived_its_owner_is_adopted(data: Path) -> None:
    with started(data) as first:
        with started(data) as second:
            assert second.url == first.url == running_postgres(data)
        assert running_postgres(data) is None
        assert not first.running


def test_a_killed_server_starts_again(data: Path) -> None:
    with started(data) as postgres:
        url = postgres.url
        killed = process_of(data)
        others = killed.children()
        killed.kill()
        psutil.wait_procs(others, timeout=10)
        assert not postgres.running
        postgres.start()
        assert postgres.url == url
        assert answer(url, "select 1") == 1


def test_a_server_of_another_version_is_replaced(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an upgrade of the package: the file of the running program is another one."""
    with (
        tempfile.TemporaryDirectory(prefix="media-test-") as folder,
        started(data) as older,
    ):
        newer = Path(folder) / "pginstall" / "bin"
        shutil.copytree(programs().parent, newer.parent)
        monkeypatch.setattr("media_service.db.embedded_postgres.programs", lambda: newer)
        before = process_of(data)
        with started(data) as postgres:
            assert not before.is_running()
            assert process_of(data).exe() == str(newer / "postgres")
            assert postgres.url == older.url


def test_the_file_of_a_server_that_is_gone_names_no_other_process(data: Path) -> None:
    with started(data):
        left = (data / "postmaster.pid").read_bytes()
    number = str(os.getpid()).encode()
    (data / "postmaster.pid").write_bytes(number + left[left.index(b"\n") :])
    assert running_postgres(data) is None
    (data / "postmaster.pid").unlink()


def test_it_listens_on_a_short_socket_only(data: Path) -> None:
    folder = data.with_name("x" * SOCKET_PATH_BYTES)
    data.rename(folder)
    try:
        with started(folder) as postgres:
            assert running_postgres(folder) == postgres.url
            assert answer(postgres.url, "show listen_addresses") == ""
            short = Path(str(answer(postgres.url, "show unix_socket_directories")))
            assert short.stat().st_mode & 0o77 == 0
            short.chmod(0o755)
        with pytest.raises(PostgresFailed, match="open to others"):
            EmbeddedPostgres(folder)
        shutil.rmtree(short)
    finally:
        folder.rename(data)


def test_texts_do_not_depend_on_the_locale(data: Path) -> None:
    with started(data) as postgres:
        assert answer(postgres.url, "select lower('ÄЖ')") == "äж"
        assert answer(postgres.url, "select 'Z' < 'a'") is True


def test_it_keeps_a_share_of_the_memory(data: Path) -> None:
    with started(data) as postgres:
        size = answer(postgres.url, "select pg_size_bytes(current_setting('shared_buffers'))")
    assert size == shared_buffers() >> 20 << 20
    assert 128 <= shared_buffers() >> 20 <= 512


def test_why_it_does_not_start_is_said(data: Path) -> None:
    settings = data / "postgresql.auto.conf"
    before = settings.read_text()
    settings.write_text("shared_buffers = nonsense\n")
    with pytest.raises(PostgresFailed, match=r"postgresql\.auto\.conf.*log"):
        EmbeddedPostgres(data)
    settings.write_text(before)


def test_an_interrupted_creation_is_repeated() -> None:
    with tempfile.TemporaryDirectory(prefix="media-test-") as folder:
        half = Path(folder) / "postgres.new"
        half.mkdir()
        (half / "PG_VERSION").write_text("18\n")
        with started(Path(folder) / "postgres"):
            assert not half.exists()


def test_it_gets_no_secrets_and_keeps_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, *unset = MALLOC
    for name in unset:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(kept, "1")  # by the operator
    monkeypatch.setenv("MEDIA_JWT_SECRET", "secret")
    inside = environment()
    assert "secret" not in inside.values()
    assert inside == {
        name: value for name, value in os.environ.items() if not name.startswith(HIDDEN)
    } | {kept: "1", **{name: MALLOC[name] for name in unset}}


def test_it_survives_ctrl_c(data: Path) -> None:
    """Its owner stops it last."""
    with started(data):
        assert os.getpgid(process_of(data).pid) != os.getpgid(0)
