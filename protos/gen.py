"""Generates `generated/` from `protos/`: messages, gRPC stubs, types, and the descriptor set.

`python protos/gen.py` writes; with `--check` it fails if what is committed is stale.

No third-party proto source is copied in: google/api and google/rpc come with
googleapis-common-protos, buf/validate/validate.proto from the descriptor inside protovalidate.
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
VALIDATE = "buf/validate/validate.proto"
# Envoy turns error details into JSON only if their types are in the descriptor set.
ERROR_DETAILS = ["google/rpc/status.proto", "google/rpc/error_details.proto"]


def write_validate_descriptors(path: Path) -> None:
    """Writes a FileDescriptorSet of buf/validate/validate.proto and what it imports."""
    files = descriptor_pb2.FileDescriptorSet()
    for module in (descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2):
        module.DESCRIPTOR.CopyToProto(files.file.add())
    files.file.add().ParseFromString(validate_pb._DESC.proto.to_binary())
    path.write_bytes(files.SerializeToString())


def generate(out: Path) -> None:
    ours = sorted(str(p.relative_to(PROTOS)) for p in PROTOS.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as tmp:
        validate = Path(tmp) / "validate.binpb"
        write_validate_descriptors(validate)

        def protoc(*args: str) -> None:
            include = [f"-I{PROTOS}", f"-I{sysconfig.get_paths()['purelib']}"]
            command = [sys.executable, "-m", "grpc_tools.protoc", f"--descriptor_set_in={validate}"]
            # The plugins lie beside this Python, wherever that is.
            path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
            environ = {**os.environ, "PATH": path}
            subprocess.run([*command, *include, *args], check=True, env=environ)

        types = f"--mypy_out=quiet:{out}"
        protoc(f"--python_out={out}", types, VALIDATE, *ours)
        services = [name for name in ours if name.endswith("_service.proto")]
        protoc(f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet:{out}", *services)
        image = ["--include_imports", "--include_source_info"]
        protoc(*image, f"--descriptor_set_out={out / 'mediaservice.binpb'}", *ours, *ERROR_DETAILS)


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
