"""`media-service upload`: stores files."""

import shlex
import sys
from pathlib import Path

import click

from media_service.cli import output
from media_service.cli.connection import INTERRUPTED, client_command
from media_service.ids import new_id
from media_service_client import Client, MediaServiceError
from media_service_client.retry import is_transient


@click.command(
    epilog="""\b
Examples:
  media-service upload holiday.mp4 phone.jpg
  ffmpeg -i in.mov -f mp4 -movflags frag_keyframe - | media-service upload - --name out.mp4
  id=$(media-service upload phone.jpg | cut -f1)
  media-service upload --resume UPLOAD_ID holiday.mp4
  media-service upload --parallel 8 holiday.mp4
"""
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--name", metavar="NAME", help="Store under this name; for one file.")
@click.option(
    "--type", "content_type", metavar="TYPE", help="Refuse the file if its bytes are of other type."
)
@click.option(
    "--resume", metavar="UPLOAD_ID", help="Go on with an interrupted upload of the same file."
)
@click.option(
    "--parallel",
    metavar="N",
    type=click.IntRange(1, 64),
    default=1,
    help="Send N parts of a file at a time: faster over long ways.",
)
@client_command
def upload(
    client: Client,
    files: tuple[str, ...],
    name: str | None,
    content_type: str | None,
    resume: str | None,
    parallel: int,
) -> None:
    """Stores files; "-" is standard input.

    Breaks of the connection and restarts of the service are survived: the upload goes on where
    the stored bytes end. In a pipe, one line per file: id, size in bytes, content type and name,
    separated by tabs; how to go on with a file that takes longer is said on standard error.
    """
    if len(files) > 1 and (name or resume):
        raise click.UsageError("--name and --resume are for one file")
    failed = 0
    for file in files:
        failed += not _upload(client, file, name, content_type, resume or new_id(), parallel)
    if failed:
        raise SystemExit(1)


def _upload(
    client: Client,
    file: str,
    name: str | None,
    content_type: str | None,
    upload_id: str,
    parallel: int,
) -> bool:
    source = sys.stdin.buffer if file == "-" else Path(file)
    again = f"media-service upload --resume {upload_id} {shlex.quote(file)}"
    try:
        # Who is killed can say nothing any more.
        with output.progress(
            name or file, f"{file}: to go on if it is stopped: {again}"
        ) as advance:
            media = client.upload(
                source,
                filename=name,
                content_type=content_type,
                upload_id=upload_id,
                progress=advance,
                parallel=parallel,
            )
    except KeyboardInterrupt:
        output.complain(f"stopped; what was stored is kept. To go on:\n  {again}")
        raise SystemExit(INTERRUPTED) from None
    except OSError as error:
        output.complain(f"{file}: {error.strerror or error}")
        return False
    except MediaServiceError as error:
        if is_transient(error):
            output.complain(f"{file}: what was stored is kept. To go on:\n  {again}")
            raise
        if error.code.name == "UNAUTHENTICATED":
            raise  # the next file would fare no better
        output.complain(f"{file}: {error}")
        return False
    output.report(media, "stored")
    return True
