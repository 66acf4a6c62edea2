"""The commands that show and change the catalog, for people and with `--json`."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from typing import Any

import pytest
from mediaservice.v1 import media_pb2
from mediaservice.v1.upload_pb2 import Upload, UploadSpec

from media_service_client import Job
from tests.support.cli import Run
from tests.support.fake_server import Fake, Session


def described(fake: Fake) -> media_pb2.Media:
    """A media with lists and flags."""
    media = fake.store(b"bytes", "id", "a.png")
    media.tags.extend(["sea", "sky"])
    media.video.variable_frame_rate = True
    media.renditions.add(name="small", content_type="image/webp", size_bytes=2_000_000)
    media.renditions.add(name="large", content_type="image/webp", size_bytes=3)
    fake.renditions = {"small": b"SMALL", "large": b"LRG"}
    return media


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_show_prints_each_value_on_a_line_of_its_own(run: Run, fake: Fake) -> None:
    described(fake).labels["size_bytes"] = "large"
    lines = run("show", "id").stdout.splitlines()
    assert {
        "labels.size_bytes\tlarge",
        "tags\tsea, sky",
        "video.variable_frame_rate\ttrue",
        "renditions.small.content_type\timage/webp",
        "renditions.large.size_bytes\t3",
    } <= set(lines)
    assert not [line for line in lines if "{" in line or "[" in line]


def test_the_download_of_a_rendition_reports_the_rendition(
    run: Run, fake: Fake, tmp_path: Any
) -> None:
    described(fake)
    target = tmp_path / "small.webp"
    result = run("download", "id", "--rendition", "small", "-o", target)
    assert result.stdout == "id\t2000000\timage/webp\tsmall.webp\n"
    (found,) = objects(run("download", "id", "--rendition", "small", "-o", target, "--json").stdout)
    assert (found["mediaId"], found["name"], found["path"]) == ("id", "small", str(target))


def test_tags_are_added_and_removed(run: Run, fake: Fake) -> None:
    described(fake)
    assert run("tag", "id", "sun", "sea", "--remove", "sky").stdout == "sea\nsun\n"
    assert run("tag", "id").stdout == "sea\nsun\n"
    (found,) = objects(run("tag", "id", "--remove", "sun", "--json").stdout)
    assert found["tags"] == list(fake.stored["id"][0].tags) == ["sea"]


def test_the_visibility_is_changed(run: Run, fake: Fake) -> None:
    described(fake)
    result = run("visibility", "public_original", "id", "missing")
    assert fake.stored["id"][0].visibility == media_pb2.Media.PUBLIC_ORIGINAL
    assert result.stdout == "id\t5\timage/png\ta.png\n"
    assert (result.exit_code, "missing: it is MEDIA_NOT_FOUND" in result.stderr) == (1, True)
    assert run("visibility", "secret", "id").exit_code == 2


def test_a_deleted_media_is_restored(run: Run, fake: Fake) -> None:
    media = described(fake)
    run("rm", "id")
    assert media.HasField("delete_time")
    assert objects(run("undelete", "id", "--json").stdout)[0]["mediaId"] == "id"
    assert not media.HasField("delete_time")


def test_uploads_are_listed_and_aborted(run: Run, fake: Fake) -> None:
    for number in range(3):
        spec = UploadSpec(filename=f"{number}.png", size_bytes=10)
        fake.sessions[f"u{number}"] = Session(spec, data=bytearray(b"1" * 4))
    fake.sessions["u1"].state = Upload.FINISHED
    assert run("uploads", "--state", "active").stdout == (
        "u0\tACTIVE\t0\t10\t\t0.png\nu2\tACTIVE\t0\t10\t\t2.png\n"
    )
    assert [each["uploadId"] for each in objects(run("uploads", "--json").stdout)] == [
        "u0",
        "u1",
        "u2",
    ]
    assert objects(run("abort", "u2", "--json").stdout)[0]["state"] == "ABORTED"
    assert fake.sessions["u2"].state == Upload.ABORTED


def test_every_command_that_prints_results_prints_json(run: Run, fake: Fake, tmp_path: Any) -> None:
    described(fake)
    (tmp_path / "b.png").write_bytes(b"b")
    (job,) = objects(run("process", "id", "blur", "--watch", "--json").stdout)
    fake.jobs["failed"] = Job(job_id="failed", state=Job.FAILED)
    for command in (
        ("upload", tmp_path / "b.png"),
        ("ls",),
        ("link", "id"),
        ("jobs",),
        ("cancel", job["jobId"]),
        ("retry", "failed"),
        ("reprocess", "id"),
        ("operations",),
        ("operations", "blur"),
        ("rm", "id"),
    ):
        result = run(*command, "--json")
        assert (result.exit_code, bool(objects(result.stdout))) == (0, True), command
    signed = run("token", "--user", "a", "--json", MEDIA_JWT_SECRET="k" * 32)
    assert objects(signed.stdout)[0]["token"]


def test_settings_are_listed_and_unknown_names_are_reported(run: Run) -> None:
    (first, *_) = objects(run("config", "--json").stdout)
    assert (first["group"], first["name"]) == ("Data", "MEDIA_DATA_DIR")
    mistyped = run("config", MEDIA_GRCP_PORT="1")
    assert "MEDIA_PURGE_AFTER\t30d\t" in mistyped.stdout
    assert mistyped.exit_code == 2
    assert "MEDIA_GRCP_PORT is not a setting. Did you mean MEDIA_GRPC_PORT?" in mistyped.stderr
    assert "Did you mean MEDIA_ADDRESS?" in run("ls", MEDIA_ADRESS="host:1").stderr


def test_the_version_is_printed(run: Run) -> None:
    assert run("--version").stdout.split()[-1] == version("media-service")


@pytest.mark.parametrize(("typed", "expected"), [("und", "undelete"), ("ls --del", "--deleted")])
def test_a_shell_completes_commands_and_options(typed: str, expected: str) -> None:
    words = f"media-service {typed}"
    asked = {"_MEDIA_SERVICE_COMPLETE": "bash_complete", "COMP_WORDS": words}
    ran = subprocess.run(
        [sys.executable, "-m", "media_service"],
        env={**os.environ, **asked, "COMP_CWORD": str(len(words.split()) - 1)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.splitlines() == [f"plain,{expected}"]
