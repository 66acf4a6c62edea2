"""`media-service link`: signs URLs that need no token, and ends them."""

from datetime import timedelta

import click

from media_service.cli.client_command import client_command
from media_service.cli.duration import Duration
from media_service.cli.json_output import json_option, print_json
from media_service_client import Client


@click.command(
    epilog="""\b
Examples:
  media-service link ID
  media-service link ID --expires 7d --attachment
  media-service link ID resize:300x200 convert:webp
  curl -o copy.jpg "$(media-service link ID)"
  media-service link ID --revoke
  media-service link --revoke --signer me
  media-service link --revoke --signer service_account:ID
"""
)
@click.argument("media_id", metavar="[ID]", default="")
@click.argument("operations", nargs=-1, metavar="[OPERATION]...")
@click.option(
    "--rendition", default="", metavar="NAME", help="Link to a rendition instead of the original."
)
@click.option(
    "--expires",
    type=Duration(),
    default="15m",
    show_default=True,
    metavar="SPAN",
    help="How long the URL is valid, such as 90s, 30m or 24h. Maximum: 7d.",
)
@click.option("--attachment", is_flag=True, help="Browsers save the file instead of showing it.")
@click.option("--revoke", is_flag=True, help="End all URLs of the media, or of a signer, instead.")
@click.option(
    "--signer",
    default="",
    metavar="CALLER",
    help="With --revoke: me, or for administrators user:ID or service_account:ID.",
)
@json_option
@client_command
def link(
    client: Client,
    media_id: str,
    operations: tuple[str, ...],
    rendition: str,
    expires: timedelta,
    attachment: bool,
    revoke: bool,
    signer: str,
    json_: bool,
) -> None:
    """Prints a URL that reads a media without a token, until it expires or the media is deleted.

    With operations (see `media-service operations`), the URL reads their result."""
    if bool(media_id) is bool(signer) or (signer and not revoke):
        raise click.UsageError("name the ID of a media, or a --signer with --revoke")
    if revoke:
        client.revoke_signed_urls(media_id=media_id, signer=signer)
        return
    signed = client.sign_url(
        media_id,
        rendition=rendition,
        ops=",".join(operations),
        ttl=expires,
        attachment=attachment,
    )
    if json_:
        print_json(signed)
    else:
        click.echo(signed.url)
