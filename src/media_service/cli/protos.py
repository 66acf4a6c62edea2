"""`media-service protos`: the contract as source, for stubs in any language."""

import shutil
from importlib.resources import as_file, files
from pathlib import Path

import click


@click.command(
    epilog="""\b
Examples:
  media-service protos --out protos
  protoc -I protos --java_out=src/main/java protos/mediaservice/v1/*.proto
  buf generate protos --path protos/mediaservice
"""
)
@click.option(
    "--out",
    "folder",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to write; created if missing. Files of the same name are replaced.",
)
def protos(folder: Path) -> None:
    """Writes the .proto files of the contract, and the ones that they import, to a directory.

    The directory is one include path for protoc, and one module for buf. Only google/protobuf is
    left out: every compiler brings it.
    """
    with as_file(files("media_service") / "include") as include:
        shutil.copytree(include, folder, dirs_exist_ok=True)
    click.echo(f"Wrote {len(list(folder.rglob('*.proto')))} files to {folder}")
