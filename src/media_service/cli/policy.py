"""`media-service policy`: what organizations and projects accept of uploads."""

import json
from datetime import timedelta
from typing import TextIO

import click
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from media_service.cli.client_command import client_command
from media_service.cli.duration import Duration
from media_service.cli.json_output import print_json
from media_service.cli.size import size
from media_service_client import Client, Media, Policy, PolicyPreset, ResourcePolicy

VISIBILITIES = [name for name, number in Media.Visibility.items() if number]
KINDS = [name for name, number in Media.Kind.items() if number]


def preset(text: str) -> PolicyPreset:
    kind, _, rest = text.partition(":")
    name, _, ops = rest.partition("=")
    if kind.upper() not in KINDS or not name or not ops:
        raise click.BadParameter(
            f"must be KIND:NAME=PIPELINE, where KIND is one of {', '.join(KINDS)}",
            param_hint="--preset",
        )
    return PolicyPreset(kind=Media.Kind.Value(kind.upper()), name=name, ops=ops)


@click.group()
def policy() -> None:
    """Shows and sets the policies of organizations and projects.

    RESOURCE is organization:ID or project:ID. The output is JSON.
    """


@policy.command("show", epilog="Example: media-service policy show project:vacation-k3x9q2ma")
@click.argument("resource")
@client_command
def show_policy(client: Client, resource: str) -> None:
    """Shows the policy of a resource, and the one that it inherits."""
    show(client.policy(resource))


@policy.command(
    "set",
    epilog="""\b
Examples:
  media-service policy set organization:acme --type 'image/*' --max-size 50MiB
  media-service policy set project:vacation-k3x9q2ma --default-visibility public --retention 365
  media-service policy set project:vacation-k3x9q2ma --metadata-schema schema.json
  media-service policy set project:vacation-k3x9q2ma --preset image:banner=resize:1600x400:fit=COVER
""",
)
@click.argument("resource")
@click.option("--type", "types", multiple=True, help="An accepted type, such as image/*.")
@click.option("--max-size", callback=size, help="The largest file, such as 50MiB.")
@click.option("--max-pixels", type=click.IntRange(1), help="The largest image or frame.")
@click.option("--max-duration", type=Duration(), help="The longest video or audio file.")
@click.option(
    "--max-visibility",
    type=click.Choice(VISIBILITIES, case_sensitive=False),
    help="The widest visibility that media may get.",
)
@click.option(
    "--default-visibility",
    type=click.Choice(VISIBILITIES, case_sensitive=False),
    help="That of uploads that state none.",
)
@click.option(
    "--retention", type=click.IntRange(1, 36500), metavar="DAYS", help="When media are deleted."
)
@click.option(
    "--keep-deleted",
    type=click.IntRange(1, 3650),
    metavar="DAYS",
    help="How long deleted media can be undeleted.",
)
@click.option(
    "--keep-versions",
    type=click.IntRange(0, 10000),
    metavar="N",
    help="How many earlier versions of a media are kept.",
)
@click.option(
    "--keep-versions-days",
    type=click.IntRange(1, 36500),
    metavar="DAYS",
    help="How long a version is kept after it was replaced.",
)
@click.option("--strip-metadata", is_flag=True, help="Originals lose their metadata.")
@click.option(
    "--preset",
    "presets",
    multiple=True,
    metavar="KIND:NAME=PIPELINE",
    help="A rendition of new media, in place of the standard ones of the kind.",
)
@click.option(
    "--metadata-schema",
    type=click.File(),
    metavar="FILE",
    help="A JSON schema for the metadata of media; - reads it from standard input.",
)
@client_command
def set_policy(
    client: Client,
    resource: str,
    types: tuple[str, ...],
    max_size: int | None,
    max_pixels: int | None,
    max_duration: timedelta | None,
    max_visibility: str | None,
    default_visibility: str | None,
    retention: int | None,
    keep_deleted: int | None,
    keep_versions: int | None,
    keep_versions_days: int | None,
    strip_metadata: bool,
    presets: tuple[str, ...],
    metadata_schema: TextIO | None,
) -> None:
    """Sets the policy of a resource, in place of the earlier one."""
    wanted = Policy(
        allowed_types=types,
        max_size_bytes=max_size,
        max_pixels=max_pixels,
        max_duration_seconds=max_duration.total_seconds() if max_duration else None,
        retention_days=retention,
        keep_deleted_days=keep_deleted,
        keep_versions=keep_versions,
        keep_versions_days=keep_versions_days,
        strip_metadata=strip_metadata,
        presets=map(preset, presets),
    )
    if metadata_schema:
        try:
            ParseDict(json.load(metadata_schema), wanted.metadata_schema)
        except (ValueError, ParseError) as error:
            raise click.BadParameter(str(error), param_hint="--metadata-schema") from None
    if max_visibility:
        wanted.max_visibility = Media.Visibility.Value(max_visibility)
    if default_visibility:
        wanted.default_visibility = Media.Visibility.Value(default_visibility)
    if wanted == Policy():
        raise click.UsageError("nothing is set; to remove the policy: media-service policy remove")
    show(client.set_policy(resource, wanted))


@policy.command("remove", epilog="Example: media-service policy remove organization:acme")
@click.argument("resource")
@client_command
def remove_policy(client: Client, resource: str) -> None:
    """Removes the policy of a resource."""
    show(client.set_policy(resource, Policy()))


def show(found: ResourcePolicy) -> None:
    print_json(MessageToDict(found), indent=2)
