"""Generates `generated/` from `protos/`: messages, gRPC stubs, types, and the descriptor set.

`python protos/gen.py` writes; with `--check` it fails if what is committed is stale.

No third-party proto source is copied in: google/api and google/rpc come with
googleapis-common-protos, buf/validate/validate.proto from the descriptor inside protovalidate.

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

from google.protobuf import descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2
from protovalidate._gen.buf.validate import validate_pb

PROTOS = Path(__file__).resolve().parent
GENERATED = PROTOS.parent / "generated"
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


def validate_descriptors() -> descriptor_pb2.FileDescriptorSet:
    """The descriptors of buf/validate/validate.proto and its imports."""
    files = descriptor_pb2.FileDescriptorSet()
    for module in (descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2):
        module.DESCRIPTOR.CopyToProto(files.file.add())
    files.file.add().ParseFromString(validate_pb._DESC.proto.to_binary())
    return files


def without_validate(image: bytes) -> descriptor_pb2.FileDescriptorSet:
    """The same files, which do not import validate.proto any more. Their field rules stay, as
    options of an extension that nobody knows: stubs need no `buf` package, and the server still
    reads the rules."""
    files = descriptor_pb2.FileDescriptorSet.FromString(image)
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
        validate, stripped = Path(tmp) / "validate.binpb", Path(tmp) / "stripped.binpb"
        validate.write_bytes(validate_descriptors().SerializeToString())
        protoc(
            *(f"-I{PROTOS}", f"-I{sysconfig.get_paths()['purelib']}"),
            *(f"--descriptor_set_in={validate}", f"--descriptor_set_out={descriptors}"),
            *("--include_imports", "--include_source_info"),
            *ours,
            *ERROR_DETAILS,
        )
        stripped.write_bytes(without_validate(descriptors.read_bytes()).SerializeToString())
        source = f"--descriptor_set_in={stripped}"
        protoc(source, f"--python_out={out}", f"--mypy_out=quiet:{out}", *ours)
        protoc(source, f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet:{out}", *services)
    for folder in {(out / name).parent for name in ours}:
        (folder / "py.typed").touch()


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
