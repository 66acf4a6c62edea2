"""The commands, for interactive use and for scripts."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner
from mediaservice.v1 import media_pb2

from media_service.cli.main import COMMANDS, cli
from media_service.ids import new_id
from tests.support.cli import Run
from tests.support.fake_server import Fake, Fault

KEY = "0123456789abcdef" * 4


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "a b.png"
    path.write_bytes(bytes(range(256)) * 9000)
    return path


def test_upload_prints_a_line_for_each_file(run: Run, fake: Fake, image: Path) -> None:
    result = run("upload", image, image)
    assert result.exit_code == 0
    ids = list(fake.stored)
    assert result.stdout.splitlines() == [f"{i}\t2304000\timage/png\ta b.png" for i in ids]
    assert fake.stored[ids[0]][1] == image.read_bytes()


def test_upload_without_a_terminal_prints_once_how_to_resume(
    run: Run, fake: Fake, image: Path
) -> None:
    result = run("upload", image)
    (key,) = fake.keys
    assert result.stderr == (
        f"media-service: {image}: to continue if it is stopped:"
        f" media-service upload --resume {key} '{image}'\n"
    )
    image.write_bytes(b"done in one step")
    assert run("upload", image).stderr == ""


def test_upload_sends_attributes_and_prints_how_to_resume_with_them(
    run: Run, fake: Fake, image: Path
) -> None:
    options = ["--title", "Am Strand", "--tag", "sea", "--tag", "sky", "--label", "album=2026"]
    options += ["--visibility", "public", "--project", "p"]
    result = run("upload", *options, image)
    assert result.exit_code == 0
    (session,) = fake.sessions.values()
    spec = session.spec
    assert (spec.title, list(spec.tags), dict(spec.labels)) == (
        "Am Strand",
        ["sea", "sky"],
        {"album": "2026"},
    )
    assert (spec.visibility, spec.project_id) == (media_pb2.Media.PUBLIC, "p")
    (key,) = fake.keys
    assert result.stderr.endswith(
        f"media-service upload --resume {key} --title 'Am Strand' --tag sea --tag sky"
        f" --label album=2026 --visibility PUBLIC --project p '{image}'\n"
    )
    assert run("upload", "--label", "album", image).exit_code == 2


def test_upload_reads_standard_input(run: Run, fake: Fake) -> None:
    result = run("upload", "-", "--name", "x.png", stdin=b"bytes")
    assert result.stdout.endswith("\t5\timage/png\tx.png\n")
    assert [data for _, data in fake.stored.values()] == [b"bytes"]


def test_upload_continues_with_the_next_file_after_a_refused_one(
    run: Run, fake: Fake, image: Path
) -> None:
    image.write_bytes(b"done in one step")
    fake.inject("WriteUpload", Fault("TYPE_NOT_ALLOWED"))
    result = run("upload", image, "/nowhere", image)
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 1
    first, second = result.stderr.splitlines()
    assert "a b.png: it is TYPE_NOT_ALLOWED (TYPE_NOT_ALLOWED)" in first
    assert second == "media-service: /nowhere: No such file or directory"


def test_upload_resumes(run: Run, fake: Fake, image: Path) -> None:
    key = new_id()
    fake.inject("WriteUpload", Fault("SUPERSEDED", after=1_000_000))
    assert run("upload", "--resume", key, image).exit_code == 1
    assert run("upload", "--resume", key, image).exit_code == 0
    assert len(fake.stored) == 1
    assert fake.offsets[-1] == 900_000


def test_policies_decide_the_visibility_that_is_not_stated(
    run: Run, fake: Fake, image: Path
) -> None:
    assert run("upload", image).exit_code == 0
    (session,) = fake.sessions.values()
    assert session.spec.visibility == media_pb2.Media.VISIBILITY_UNSPECIFIED


def test_the_name_option_is_refused_with_several_files(run: Run, image: Path) -> None:
    result = run("upload", image, image, "--name", "x")
    assert result.exit_code == 2
    assert "--name, --resume and --replace are for one file" in result.stderr


def test_ctrl_c_keeps_the_upload_and_prints_how_to_resume(
    fake: Fake, environment: dict[str, str], image: Path
) -> None:
    image.write_bytes(os.urandom(1 << 20) * 64)
    process = subprocess.Popen(
        [sys.executable, "-m", "media_service", "upload", str(image)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    fake.after_bytes[1 << 22] = lambda: process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stdout == ""
    (key,) = fake.keys
    again = f"media-service upload --resume {key} '{image}'"
    assert f"stopped; the stored bytes are kept. To continue:\n  {again}" in stderr
    assert "Traceback" not in stderr
    assert not fake.stored


def test_download_saves_under_the_media_filename_and_never_overwrites_a_file(
    run: Run, fake: Fake, tmp_path: Path
) -> None:
    fake.store(b"bytes", "id", "photo.png")
    first = run("download", "id", "-o", tmp_path)
    assert first.stdout == "id\t5\timage/png\tphoto.png\n"
    assert (tmp_path / "photo.png").read_bytes() == b"bytes"
    second = run("download", "id", "-o", tmp_path)
    assert second.exit_code == 1
    assert "already exists" in second.stderr


@pytest.mark.parametrize(
    ("filename", "saved"),
    [
        ("../../up", "up"),
        (".bashrc", "bashrc"),
        ("..", "id"),
        ("", "id"),
        ("a\x1b[2J", "a\ufffd[2J"),
        ("a\\b", "b"),
    ],
)
def test_a_filename_from_the_service_cannot_leave_the_directory(
    run: Run, fake: Fake, tmp_path: Path, filename: str, saved: str
) -> None:
    fake.store(b"bytes", "id", filename)
    assert run("download", "id", "-o", tmp_path).exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == [saved]


def test_download_to_standard_output_writes_only_the_bytes(run: Run, fake: Fake) -> None:
    fake.store(b"\x00bytes\xff", "id")
    assert run("download", "id", "-o", "-").stdout_bytes == b"\x00bytes\xff"


def test_ls_prints_lines_and_a_hint_when_there_are_more(run: Run, fake: Fake) -> None:
    for number in range(60):
        fake.store(b"x" * number, f"id{number}", "a\tb\n.png")
    result = run("ls")
    assert result.stdout.splitlines()[7] == "id7\t7\timage/png\ta\ufffdb\ufffd.png"
    assert len(result.stdout.splitlines()) == 50
    assert "--all" in result.stderr
    everything = run("ls", "--all", "--json")
    assert [json.loads(line)["mediaId"] for line in everything.stdout.splitlines()] == [
        f"id{number}" for number in range(60)
    ]
    assert everything.stderr == ""


def test_show_prints_every_field(run: Run, fake: Fake) -> None:
    fake.store(b"bytes", "id", "a.png")
    assert "size_bytes\t5\n" in run("show", "id").stdout
    assert json.loads(run("show", "id", "--json").stdout)["filename"] == "a.png"


def test_link_prints_a_url_and_nothing_else(run: Run, fake: Fake) -> None:
    fake.store(b"bytes", "id", "a.png")
    plain = run("link", "id")
    assert plain.stdout == (
        "https://media.example//a.png?seconds=900&attachment=False&direct=False\n"
    )
    wanted = run("link", "id", "--expires", "2h", "--attachment")
    assert "seconds=7200&attachment=True" in wanted.stdout
    assert run("link", "id", "--expires", "soon").exit_code == 2
    missing = run("link", "missing")
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert "it is MEDIA_NOT_FOUND" in missing.stderr


def test_rm_deletes_and_purges(run: Run, fake: Fake) -> None:
    fake.store(b"one", "1")
    fake.store(b"two", "2")
    assert run("rm", "1").exit_code == 0
    assert fake.stored["1"][0].HasField("delete_time")
    result = run("rm", "--purge", "missing", "2")
    assert result.exit_code == 1
    assert "missing: it is MEDIA_NOT_FOUND" in result.stderr
    assert list(fake.stored) == ["1"]


def test_a_token_has_the_requested_claims(run: Run) -> None:
    result = run(
        *("token", "--user", "alice", "--org", "acme", "--role", "admin", "--expires", "10m"),
        *("--scope", "media.read", "--scope", "media.write"),
        MEDIA_JWT_SECRET=KEY,
    )
    claims = jwt.decode(result.stdout.strip(), KEY, algorithms=["HS256"])
    assert claims.pop("exp") - claims.pop("iat") == 600
    assert claims == {
        "sub": "alice",
        "org": "acme",
        "roles": ["admin"],
        "scope": "media.read media.write",
    }


def test_a_token_needs_a_user(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIA_JWT_SECRET", "k" * 32)
    result = run("token", "--user", "")
    assert result.exit_code == 2
    assert "--user must not be empty" in result.stderr


def test_a_token_needs_a_key(run: Run) -> None:
    result = run("token", "--user", "alice")
    assert result.exit_code == 1
    assert "set MEDIA_JWT_SECRET" in result.stderr
    assert "Traceback" not in result.output


def test_on_the_machine_of_the_service_no_token_is_needed(
    run: Run, fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "alice")
    (tmp_path / "jwt-secret").write_text(KEY + "\n")
    run("ls", MEDIA_TOKEN="")
    bearer = fake.tokens[-1].removeprefix("Bearer ")
    assert jwt.decode(bearer, KEY, algorithms=["HS256"])["sub"] == "alice"


def test_without_a_token_the_error_explains_how_to_get_one(run: Run) -> None:
    result = run("ls", MEDIA_TOKEN="")
    assert result.exit_code == 1
    assert "media-service token --user" in result.stderr


def test_without_a_service_the_error_explains_how_to_start_one(run: Run) -> None:
    result = run("ls", MEDIA_ADDRESS="127.0.0.1:1")
    assert result.exit_code == 1
    assert "media-service dev" in result.stderr


def test_an_error_names_an_invalid_setting(run: Run) -> None:
    result = run("ls", MEDIA_GRPC_PORT="many")
    assert result.exit_code == 1
    assert "MEDIA_GRPC_PORT" in result.stderr


def test_help_lists_every_command_without_importing_them() -> None:
    code = "import sys, media_service.cli.main as m; print('grpc' in sys.modules, len(m.COMMANDS))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", str(len(COMMANDS))]
    shown = CliRunner().invoke(cli, ["--help"]).stdout
    assert all(f"  {name} " in shown for name in COMMANDS)


@pytest.mark.parametrize("command", ["upload", "download", "ls", "show", "link", "rm", "token"])
def test_the_help_of_every_command_has_an_example(run: Run, command: str) -> None:
    assert f"media-service {command}" in run(command, "--help").stdout
