"""`media-service erase` and `export-user`: what the service keeps of a person."""

import base64
import hashlib
import json
import time
from pathlib import Path

import click

from media_service.cli import output
from media_service.cli.client_command import client_command
from media_service.cli.json_output import json_of, json_option, print_json
from media_service.cli.output_file import output_option, write_pieces
from media_service_client import Client, Erasure

WAIT_SECONDS = 5
KEY_BYTES = 32


@click.group()
def erase() -> None:
    """Erases persons, and verifies the reports about it."""


@erase.command(
    "user",
    epilog="""\b
Examples:
  media-service erase user ann
  media-service erase user ann --wait > report.json
""",
)
@click.argument("user_id", metavar="USER")
@click.option("--wait", is_flag=True, help="Wait until it has ended: at least eleven minutes.")
@json_option
@client_command
def erase_user(client: Client, user_id: str, wait: bool, json_: bool) -> None:
    """Removes what is kept of a user, which only administrators may do. It cannot be undone.

    USER is the `sub` of the user's token, or ISSUER|SUBJECT for a user of an additional issuer.
    Prints the id of the erasure and its state, separated by a tab; with --wait, its report.
    """
    erasure = client.erase_user(user_id)
    while wait and erasure.state != Erasure.ENDED:
        time.sleep(WAIT_SECONDS)
        erasure = client.erasure(erasure.erasure_id)
    show(erasure, as_json=json_)


@erase.command("show", epilog="Example: media-service erase show ID > report.json")
@click.argument("erasure_id", metavar="ID")
@json_option
@client_command
def show_erasure(client: Client, erasure_id: str, json_: bool) -> None:
    """Prints the report of an erasure, or its id and state until it has ended."""
    show(client.erasure(erasure_id), as_json=json_)


def show(erasure: Erasure, *, as_json: bool) -> None:
    if as_json:
        print_json(erasure)
    elif erasure.state == Erasure.ENDED:
        if not erasure.signature:
            raise click.ClickException(
                "The report is not signed, because it is not the one in the audit log: somebody"
                " changed it, or nobody read it before its entry in the log was removed by age."
                " --json prints it."
            )
        names = ("report", "reportDigest", "signature", "publicKey")
        click.echo(json.dumps({name: json_of(erasure)[name] for name in names}, indent=2))
    else:
        click.echo(f"{erasure.erasure_id}\t{Erasure.State.Name(erasure.state)}")


@erase.command(
    "verify",
    epilog="""\b
Examples:
  media-service erase verify report.json
  media-service erase verify report.json --key KEY   with the key that the service published
""",
)
@click.argument("report", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--key", metavar="KEY", help="The public key of the service, in Base64.")
def verify(report: Path, key: str | None) -> None:
    """Checks the signature of a REPORT, and prints what it says. It needs no connection.

    The SHA-256 on stderr is in the entry `erasures.end` of the audit log; `audit verify` checks
    that.

    Without --key, it checks the signature with the key in the report. Everybody can sign with a key
    of their own, so that does not prove that the service signed the report: a warning on stderr
    says so.

    Exits with 0 if the signature is valid, also with that warning, and otherwise with 1.
    """
    # PyCA is slow to import.
    from media_service.access.report_signer import is_signed  # noqa: PLC0415

    try:
        found = json.loads(report.read_bytes())
        text, inside = str(found["report"]), decoded(found["publicKey"])
        signature, digest = decoded(found["signature"]), decoded(found["reportDigest"])
        public_key = decoded(key) if key else inside
    except (ValueError, KeyError, TypeError):
        raise click.ClickException(f"{report} is not a report, or the key is not one.") from None
    if public_key != inside:
        raise click.ClickException("The report is signed with another key.")
    if not is_signed(text, signature, public_key):
        raise click.ClickException("The signature is not that of the report.")
    sha256 = hashlib.sha256(text.encode()).digest()
    if digest not in {sha256, b""}:  # empty: the audit log no longer has it
        raise click.ClickException("The report is not the one in the audit log.")
    click.echo(output.printable(text))
    click.echo(f"SHA-256 {sha256.hex()}", err=True)
    click.echo(f"signed with {base64.b64encode(public_key).decode()}", err=True)
    if not key:
        click.echo(
            "warning: this key is the report's own, and is not trusted by itself. Compare it with"
            " the key that the service published, or pass that with --key.",
            err=True,
        )


def decoded(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


@click.command(
    epilog="""\b
Examples:
  media-service export-user > me.ndjson
  media-service export-user ann -o ann.ndjson
"""
)
@click.argument("user_id", metavar="[USER]", required=False, default="")
@output_option
@client_command
def export_user(client: Client, user_id: str, file: Path | None) -> None:
    """Writes all that is kept of a user, one JSON object per line. Without USER: of you.

    Only administrators may export others.
    """
    write_pieces(file, client.export_user(user_id))
