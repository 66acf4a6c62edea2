"""The option `--output` of commands that write a file."""

from collections.abc import Iterable
from pathlib import Path

import click

output_option = click.option(
    "-o",
    "--output",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write. Default: the standard output.",
)


def write_pieces(file: Path | None, pieces: Iterable[bytes]) -> None:
    """Writes pieces to a file or, without one, to the standard output. The file is opened with the
    first piece, so a call that is refused leaves an earlier file as it was."""
    with click.open_file(str(file or "-"), "wb", lazy=True) as target:
        for piece in pieces:
            target.write(piece)
