"""`media-service uploads` and `abort`: uploads that have not ended, and others."""

from functools import partial
from itertools import islice

import click
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from media_service.cli import output
from media_service.cli.client_command import client_command
from media_service.cli.each import for_each
from media_service.cli.json_output import json_option, print_json
from media_service_client import Client, Upload

PAGE = 50
STATES = [value.name for value in Upload.State.DESCRIPTOR.values if value.number]


@click.command(
    epilog="""\b
Examples:
  media-service uploads --state active
  media-service uploads --all --state active | cut -f1 | xargs media-service abort
"""
)
@click.option(
    "--state", type=click.Choice(STATES, case_sensitive=False), help="Only uploads in this state."
)
@click.option("--all", "everything", is_flag=True, help=f"All, not only the first {PAGE}.")
@json_option
@client_command
def uploads(client: Client, state: str | None, everything: bool, json_: bool) -> None:
    """Lists your uploads, newest first.

    In a pipe, the output is one line per upload: id, state, stored bytes, all bytes (empty if
    unknown), media id and name, separated by tabs.
    """
    wanted = Upload.State.Value(state) if state else Upload.STATE_UNSPECIFIED
    found = client.uploads(state=wanted, page_size=1000 if everything else PAGE + 1)
    shown = found if everything else islice(found, PAGE)
    if output.on_terminal() and not json_:
        print_table(list(shown))
    else:
        for each in shown:
            print_upload(each, as_json=json_)
    if not everything and next(found, None):
        click.echo(f"The first {PAGE}; --all lists the rest.", err=True)


@click.command(epilog="Example: media-service abort UPLOAD")
@click.argument("upload_ids", nargs=-1, required=True, metavar="UPLOAD...")
@json_option
@client_command
def abort(client: Client, upload_ids: tuple[str, ...], json_: bool) -> None:
    """Ends uploads that have not ended, and deletes their bytes."""
    for_each(upload_ids, client.abort_upload, partial(print_upload, as_json=json_))


def print_upload(upload: Upload, *, as_json: bool) -> None:
    if as_json:
        print_json(upload)
        return
    size = str(upload.spec.size_bytes) if upload.spec.HasField("size_bytes") else ""
    state, name = Upload.State.Name(upload.state), output.printable(upload.spec.filename)
    stored = str(upload.committed_size_bytes)
    click.echo("\t".join([upload.upload_id, state, stored, size, upload.media_id, name]))


def print_table(rows: list[Upload]) -> None:
    grid = Table("Upload", "State", "Stored", "Size", "Created", "Name", box=None, pad_edge=False)
    grid.columns[0].no_wrap = True
    for upload in rows:
        known = upload.spec.HasField("size_bytes")
        grid.add_row(
            upload.upload_id,
            Upload.State.Name(upload.state),
            decimal(upload.committed_size_bytes),
            decimal(upload.spec.size_bytes) if known else "",
            upload.create_time.ToDatetime().strftime("%Y-%m-%d %H:%M"),
            escape(output.printable(upload.spec.filename)),
        )
    Console().print(grid)
