"""The ZIP format of archives, read by Python's zipfile."""

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media_service.downloads.archives.names import FileNames
from media_service.downloads.archives.zip_format import (
    File,
    archive_size,
    central_header,
    descriptor,
    end_records,
    local_header,
)

TIME = datetime(2026, 11, 30, 23, 59, 58, tzinfo=UTC)
GIB = 1 << 30


def at(files: list[File]) -> list[File]:
    """The files one after the other."""
    placed: list[File] = []
    for file in files:
        placed.append(replace(file, start=placed[-1].end if placed else 0))
    return placed


@contextmanager
def written(path: Path, files: list[File], content: bytes) -> Iterator[IO[bytes]]:
    """An archive whose files begin with `content`; the rest of each is a hole."""
    sums = [zlib.crc32(content) if len(content) == file.size_bytes else 0 for file in files]
    with path.open("w+b") as archive:
        for file, crc32 in zip(files, sums, strict=True):
            archive.seek(file.start)
            archive.write(local_header(file, crc32) + content[: file.size_bytes])
            archive.seek(file.data_end)
            if file.described:
                archive.write(descriptor(file, crc32))
        start, size = archive_size(files)
        archive.seek(start)
        headers = [central_header(file, crc32) for file, crc32 in zip(files, sums, strict=True)]
        archive.write(b"".join(headers))
        archive.write(end_records(len(files), start, sum(map(len, headers))))
        assert archive.tell() == size
        yield archive


@pytest.mark.parametrize("described", [True, False])
def test_readers_find_what_was_written(tmp_path: Path, described: bool) -> None:
    names = ["a.jpg", "Жук.mp4", "empty", "日本 (2).png"]
    files = at([File(name, 5 if name != "empty" else 0, TIME, described) for name in names])
    with written(tmp_path / "a.zip", files, b"bytes") as archive, zipfile.ZipFile(archive) as found:
        assert found.namelist() == names
        assert found.read("Жук.mp4") == b"bytes"
        assert found.infolist()[0].date_time == (2026, 11, 30, 23, 59, 58)


@pytest.mark.parametrize("described", [True, False])
def test_files_and_archives_above_4_gib(tmp_path: Path, described: bool) -> None:
    sizes = [5, 5 * GIB, 4 * GIB - 1, 4 * GIB - 2, 5]
    files = at([File(f"{i}.bin", size, TIME, described) for i, size in enumerate(sizes)])
    with written(tmp_path / "a.zip", files, b"bytes") as archive, zipfile.ZipFile(archive) as found:
        assert [each.file_size for each in found.infolist()] == sizes
        assert [each.header_offset for each in found.infolist()] == [each.start for each in files]
        assert found.read("4.bin") == b"bytes"


def test_more_files_than_the_old_format_counts() -> None:
    files = at([File(f"{i}", 0, TIME, described=False) for i in range(66_000)])
    whole = b"".join(local_header(file, 0) for file in files)
    directory = b"".join(central_header(file, 0) for file in files)
    whole += directory + end_records(len(files), len(whole), len(directory))
    assert len(whole) == archive_size(files)[1]
    with zipfile.ZipFile(io.BytesIO(whole)) as found:
        assert len(found.infolist()) == 66_000


@given(
    st.lists(
        st.sampled_from(
            ["a.jpg", "A.JPG", "a (2).jpg", "a", ".a", "Ａ.jpg", "x" * 255, f"x.{'y' * 253}"]
        )
    )
)
def test_each_file_has_a_name_of_its_own(wanted: list[str]) -> None:
    names = FileNames()
    given_ = [names.take(name) for name in wanted]
    assert len({name.casefold() for name in given_}) == len(wanted)
    assert all(len(name.encode()) <= 255 for name in given_)
    assert given_[:1] == wanted[:1]
