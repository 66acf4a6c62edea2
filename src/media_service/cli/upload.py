"""`media-service upload`: stores files."""

import shlex
import sys
from pathlib import Path
from typing import Any

import click
from mediaservice.v1.media_pb2 import Media

from media_service.cli import output
from media_service.cli.client_command import INTERRUPTED, client_command
from media_service.cli.json_output import json_option
from media_service.ids import new_id
from media_service.media.model import Visibility
from media_service_client import Client, MediaServiceError
from media_service_client.retry import is_transient


@click.command(
    epilog="""\b
Examples:
  media-service upload holiday.mp4 phone.jpg
  ffmpeg -i in.mov -f mp4 -movflags frag_keyframe - | media-service upload - --name out.mp4
  id=$(media-service upload phone.jpg | cut -f1)
  media-service upload --resume KEY holiday.mp4
  media-service upload --parallel 8 holiday.mp4
  media-service upload --title Beach --tag sea --label album=2026 phone.jpg
  media-service upload --replace ID better.jpg
"""
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--name", metavar="NAME", help="Name of the media; for one file.")
@click.option(
    "--type",
    "content_type",
    metavar="TYPE",
    help="Declare the content type. A file of another kind is refused.",
)
@click.option("--title", metavar="TEXT", default="", help="Title of the media.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="A tag; repeat for more.")
@click.option(
    "--label", "labels", metavar="KEY=VALUE", multiple=True, help="A label; repeat for more."
)
@click.option(
    "--visibility",
    type=click.Choice([each.value for each in Visibility], case_sensitive=False),
    help="What everyone with its URL can read.",
)
@click.option("--project", "project_id", metavar="ID", default="", help="Project of the media.")
@click.option("--replace", metavar="ID", default="", help="Replace the file of this media.")
@click.option("--resume", metavar="KEY", help="Continue an interrupted upload of the same file.")
@click.option(
    "--parallel",
    metavar="N",
    type=click.IntRange(1, 64),
    default=1,
    help="Send N parts of a file at once: faster over slow or distant networks.",
)
@json_option
@client_command
def upload(
    client: Client,
    files: tuple[str, ...],
    name: str | None,
    content_type: str | None,
    title: str,
    tags: tuple[str, ...],
    labels: tuple[str, ...],
    visibility: str | None,
    project_id: str,
    replace: str,
    resume: str | None,
    parallel: int,
    json_: bool,
) -> None:
    """Stores files; "-" is standard input.

    An upload resumes after lost connections and restarts of the service. In a pipe, the output is
    one line per file: id, size in bytes, content type and name, separated by tabs. Standard error
    shows how to continue a large upload if it is stopped.
    """
    if len(files) > 1 and (name or resume or replace):
        raise click.UsageError("--name, --resume and --replace are for one file")
    if replace and (title or tags or labels or visibility or project_id):
        raise click.UsageError("--replace keeps what is stated about the media")
    stated = {
        "filename": name,
        "content_type": content_type,
        "title": title,
        "tags": tags,
        "labels": dict(key_and_value(label) for label in labels),
        "visibility": Media.Visibility.Value(visibility or "VISIBILITY_UNSPECIFIED"),
        "project_id": project_id,
        "media_id": replace,
    }
    given = [("--name", name), ("--type", content_type), ("--title", title)]
    given += [("--tag", tag) for tag in tags]
    given += [("--label", label) for label in labels]
    given += [("--visibility", visibility), ("--project", project_id), ("--replace", replace)]
    again = [word for option, value in given if value for word in (option, value)]
    failed = 0
    for file in files:
        media = _upload(client, file, stated, again, resume or new_id(), parallel)
        failed += media is None
        if media is not None:
            output.report(media, "stored", as_json=json_)
    if failed:
        raise SystemExit(1)


def _upload(
    client: Client,
    file: str,
    stated: dict[str, Any],
    options: list[str],
    request_id: str,
    parallel: int,
) -> Media | None:
    """Returns the media, or None if the file was refused, which it prints. `options`: as they were
    given, for the command that continues the upload."""
    source = sys.stdin.buffer if file == "-" else Path(file)
    again = shlex.join(["media-service", "upload", "--resume", request_id, *options, file])
    try:
        # A killed process cannot print this.
        with output.progress(
            stated["filename"] or file, f"{file}: to continue if it is stopped: {again}"
        ) as advance:
            media = client.upload(
                source,
                **stated,
                request_id=request_id,
                progress=advance,
                parallel=parallel,
            )
    except KeyboardInterrupt:
        output.complain(f"stopped; the stored bytes are kept. To continue:\n  {again}")
        raise SystemExit(INTERRUPTED) from None
    except OSError as error:
        output.complain(f"{file}: {error.strerror or error}")
        return None
    except MediaServiceError as error:
        if is_transient(error):
            output.complain(f"{file}: the stored bytes are kept. To continue:\n  {again}")
            raise
        if error.code.name == "UNAUTHENTICATED":
            raise  # the next file would fail as well
        output.complain(f"{file}: {error}")
        return None
    return media


def key_and_value(label: str) -> tuple[str, str]:
    key, equals, value = label.partition("=")
    if not equals:
        raise click.UsageError(f"--label {label} must be KEY=VALUE")
    return key, value
