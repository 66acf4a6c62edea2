"""`media-service token`: creates an access token."""

import os
from datetime import timedelta

import click

from media_service.cli.client_command import local_settings, signing_key
from media_service.cli.duration import Duration
from media_service.cli.json_output import json_option, print_json
from media_service.cli.token_signing import sign


@click.command(
    epilog="""\b
Examples:
  media-service token --user alice
  media-service token --user ci --scope uploads.write --scope media.read --expires 10m
  curl -H "Authorization: Bearer $(media-service token --user alice)" http://localhost:8080/v1/media
"""
)
@click.option("--user", required=True, metavar="NAME", help="The user of the token.")
@click.option("--org", default="", metavar="ID", help="The organization that the user acts for.")
@click.option("--role", "roles", multiple=True, metavar="ROLE", help="A role; may be repeated.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    metavar="PERMISSION",
    help="A permission, such as media.read; may be repeated. None: every permission of the user.",
)
@click.option(
    "--expires",
    type=Duration(),
    default="24h",
    show_default=True,
    metavar="SPAN",
    help="How long the token is valid, such as 90s, 30m, 24h or 7d.",
)
@json_option
def token(
    user: str,
    org: str,
    roles: tuple[str, ...],
    scopes: tuple[str, ...],
    expires: timedelta,
    json_: bool,
) -> None:
    """Prints an access token, signed with MEDIA_JWT_SECRET or the key that `media-service dev`
    keeps in the data directory (MEDIA_DATA_DIR, by default .data)."""
    if not user:
        raise click.UsageError("--user must not be empty")
    settings = local_settings(os.environ)
    key = signing_key(settings)
    if not key:
        raise click.ClickException(
            f"no signing key: set MEDIA_JWT_SECRET, or run `media-service dev` once, which creates "
            f"{settings.data_dir / 'jwt-secret'}"
        )
    signed = sign(settings, key, user, expires, org=org, roles=roles, scopes=scopes)
    if json_:
        print_json({"token": signed})
    else:
        click.echo(signed)
