"""Generates `generated/` from `protos/`: messages, gRPC stubs, types, and the descriptor set.

`python protos/gen.py` writes; with `--check` it fails if what is committed is stale. It also keeps
`third_party/google` equal to the files of googleapis-common-protos.

The compiler is older than the libraries in use (`protos/requirements.lock`), because stubs run
with the protobuf they were generated for and with later ones, and clients may have an older one.
"""

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

PROTOS = Path(__file__).resolve().parent
GENERATED = PROTOS.parent / "generated"
THIRD_PARTY = PROTOS.parent / "third_party"
# Where `make` installs the compiler.
COMPILER = Path(sys.prefix) / "protoc"
PACKAGE = "mediaservice"
DESCRIPTORS = f"{PACKAGE}/{PACKAGE}.binpb"
VALIDATE = "buf/validate/validate.proto"
# Envoy turns error details into JSON only if their types are in the descriptor set.
ERROR_DETAILS = ["google/rpc/status.proto", "google/rpc/error_details.proto"]


def protoc(*args: str) -> None:
    command = [sys.executable, "-m", "grpc_tools.protoc"]
    # The plugins lie beside this Python.
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    environ = {**os.environ, "PATH": path, "PYTHONPATH": str(COMPILER)}
    subprocess.run([*command, *args], check=True, env=environ)


def without_third_party_comments(image: bytes) -> FileDescriptorSet:
    """The same files, with the comments of ours alone: those of others are most of the size."""
    files = FileDescriptorSet.FromString(image)
    for file in files.file:
        if not file.name.startswith(f"{PACKAGE}/"):
            file.ClearField("source_code_info")
    return files


def without_validate(image: bytes) -> FileDescriptorSet:
    """The same files without the import of validate.proto. Their field rules stay, as options of an
    unknown extension: stubs need no `buf` package, and the server still reads the rules."""
    files = FileDescriptorSet.FromString(image)
    for file in files.file:
        kept = [name for name in file.dependency if name != VALIDATE]
        del file.dependency[:]
        file.dependency.extend(kept)
    return files


def generate(out: Path) -> None:
    ours = sorted(str(p.relative_to(PROTOS)) for p in PROTOS.rglob("*.proto"))
    services = [name for name in ours if name.endswith("_service.proto")]
    (out / PACKAGE).mkdir()
    descriptors = out / DESCRIPTORS
    with tempfile.TemporaryDirectory() as tmp:
        stripped = Path(tmp) / "stripped.binpb"
        include = (f"-I{PROTOS}", f"-I{THIRD_PARTY}")
        complete = ("--include_imports", "--include_source_info")
        protoc(*include, f"--descriptor_set_out={descriptors}", *complete, *ours, *ERROR_DETAILS)
        image = without_third_party_comments(descriptors.read_bytes()).SerializeToString()
        descriptors.write_bytes(image)
        stripped.write_bytes(without_validate(image).SerializeToString())
        source = f"--descriptor_set_in={stripped}"
        protoc(source, f"--python_out={out}", f"--mypy_out=quiet:{out}", *ours)
        protoc(source, f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet:{out}", *services)
    for folder in {(out / name).parent for name in ours}:
        (folder / "py.typed").touch()


def copy_google(check: bool) -> list[str]:
    """Updates `third_party/google` from the installed package; the names of stale files."""
    installed = Path(sysconfig.get_paths()["purelib"])
    copies = [str(path.relative_to(THIRD_PARTY)) for path in THIRD_PARTY.glob("google/**/*.proto")]
    old = [n for n in copies if (THIRD_PARTY / n).read_bytes() != (installed / n).read_bytes()]
    if not check:
        for name in old:
            shutil.copyfile(installed / name, THIRD_PARTY / name)
    return old


def stale(fresh: Path) -> list[str]:
    """Names of the files that differ between `fresh` and what is committed."""

    def names(root: Path) -> set[str]:
        files = (p for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
        return {str(p.relative_to(root)) for p in files}

    both = names(fresh) & names(GENERATED)
    differ = [n for n in both if not filecmp.cmp(fresh / n, GENERATED / n, shallow=False)]
    return sorted([*differ, *(names(fresh) ^ names(GENERATED))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail if stale")
    check = parser.parse_args().check
    if (old := copy_google(check)) and check:
        sys.exit(f"third_party/ is stale, run `make gen`: {', '.join(old)}")
    with tempfile.TemporaryDirectory() as tmp:
        fresh = Path(tmp)
        generate(fresh)
        if check:
            if names := stale(fresh):
                sys.exit(f"generated/ is stale, run `make gen`: {', '.join(names)}")
            return
        shutil.rmtree(GENERATED, ignore_errors=True)
        shutil.copytree(fresh, GENERATED)


if __name__ == "__main__":
    main()
