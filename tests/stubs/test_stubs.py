"""Stubs in other languages, from a clone and from the output of `media-service protos`."""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from click.testing import CliRunner
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from protovalidate._gen.buf.validate import validate_pb

from media_service.cli.main import cli
from tests.support.tools import missing, require_tool

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
CLONE = (ROOT / "protos", ROOT / "third_party")
OURS = sorted(str(p.relative_to(CLONE[0])) for p in CLONE[0].rglob("*.proto"))
OTHERS = sorted(str(p.relative_to(CLONE[1])) for p in CLONE[1].rglob("*.proto"))
BUF = Path(sysconfig.get_path("scripts")) / "buf"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "media-service"
SECONDS = 240


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "protos"
    done = CliRunner().invoke(cli, ["protos", "--out", str(folder)])
    assert done.exit_code == 0, done.output
    return folder


def run(*command: str | Path, cwd: Path, path: str = "", **environ: str) -> str:
    environ |= {"PATH": os.pathsep.join(filter(None, [path, os.environ["PATH"]]))}
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environ},
        timeout=SECONDS,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def protoc(include: tuple[Path, ...], *arguments: str | Path, cwd: Path, path: str = "") -> None:
    """Plain protoc, as `make` installs it."""
    options = [f"-I{folder}" for folder in include]
    compiler = str(Path(sys.prefix) / "protoc")
    command = [sys.executable, "-m", "grpc_tools.protoc", *options, *arguments]
    run(*command, cwd=cwd, path=path, PYTHONPATH=compiler)


def test_the_bundle_contains_the_contract_and_its_imports(bundle: Path) -> None:
    written = {str(p.relative_to(bundle)): p.read_bytes() for p in bundle.rglob("*.proto")}
    cloned = {name: (CLONE[0] / name).read_bytes() for name in OURS}
    copied = {name: (CLONE[1] / name).read_bytes() for name in OTHERS}
    assert written == cloned | copied
    assert "Apache License" in (bundle / "buf/LICENSE").read_text()


def test_validate_proto_matches_the_descriptor_that_the_server_enforces(tmp_path: Path) -> None:
    """protovalidate ships only the descriptor. Nothing differs but the options of languages."""
    out = tmp_path / "validate.binpb"
    protoc(CLONE, f"--descriptor_set_out={out}", "buf/validate/validate.proto", cwd=tmp_path)
    (copied,) = FileDescriptorSet.FromString(out.read_bytes()).file
    enforced = FileDescriptorProto.FromString(validate_pb._DESC.proto.to_binary())
    for file in (copied, enforced):
        file.ClearField("options")
        file.ClearField("source_code_info")
    assert copied == enforced


@pytest.mark.parametrize("source", ["clone", "bundle"])
def test_protoc_generates_python_that_imports(bundle: Path, tmp_path: Path, source: str) -> None:
    include = CLONE if source == "clone" else (bundle,)
    options = ["--python_out=.", "--grpc_python_out=."]
    protoc(include, *options, *OURS, "buf/validate/validate.proto", cwd=tmp_path)
    modules = [name.removesuffix(".proto").replace("/", ".") + "_pb2" for name in OURS]
    run(sys.executable, "-c", f"import {', '.join(modules)}", cwd=tmp_path, PYTHONPATH=".")


def test_go_stubs_compile(tmp_path: Path) -> None:
    """From a clone, with protoc-gen-go and protoc-gen-go-grpc without options."""
    go = require_tool("go")
    plugins = {Path(require_tool(f"protoc-gen-{name}")).parent for name in ("go", "go-grpc")}
    path = os.pathsep.join(map(str, plugins))
    for name in ("go.mod", "go.sum"):
        shutil.copy(HERE / "go" / name, tmp_path)
    protoc(CLONE, "--go_out=.", "--go-grpc_out=.", *OURS, cwd=tmp_path, path=path)
    assert list(tmp_path.glob("mediaservice/v1/upload_service_grpc.pb.go"))
    # Go's cache has what was compiled before. Without -trimpath, it depends on the folder.
    run(go, "build", "-trimpath", "-mod=readonly", "./...", cwd=tmp_path)


def image(source: Path, ours: Path, file: Path) -> bytes:
    """What `buf generate` passes to plugins."""
    run(BUF, "build", source, "--path", ours, "--output", file, cwd=file.parent)
    return file.read_bytes()


def test_typescript_stubs_compile(bundle: Path, tmp_path: Path) -> None:
    """From a clone, with protoc-gen-es and ts-proto. Plugins get the same from the bundle."""
    tools = CACHE / "node/node_modules"
    if not tools.is_dir():
        missing("the node tools of tests/stubs/node")
    (tmp_path / "node_modules").symlink_to(tools)
    for name in ("buf.gen.yaml", "tsconfig.json"):
        shutil.copy(HERE / "node" / name, tmp_path)
    ours = ROOT / "protos/mediaservice"
    cloned = image(ROOT, ours, tmp_path / "clone.binpb")
    assert cloned == image(bundle, bundle / "mediaservice", tmp_path / "bundle.binpb")
    run(BUF, "generate", ROOT, "--path", ours, "--template", "buf.gen.yaml", cwd=tmp_path)
    assert (tmp_path / "es/mediaservice/v1/upload_service_pb.ts").exists()
    assert (tmp_path / "ts/mediaservice/v1/upload_service.ts").exists()
    # The result depends on nothing but these files, and the compiler takes ten seconds.
    inputs = [HERE / "node/package-lock.json", tmp_path / "tsconfig.json"]
    inputs += sorted(file for name in ("es", "ts") for file in (tmp_path / name).rglob("*.ts"))
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in inputs)).hexdigest()
    compiled = CACHE / "compiled-typescript" / digest
    if not compiled.exists():
        run(tools / ".bin/tsc", "--noEmit", "-p", ".", cwd=tmp_path)
        compiled.parent.mkdir(exist_ok=True)
        compiled.touch()
