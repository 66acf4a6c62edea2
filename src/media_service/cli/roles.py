"""Prints roles, and what they are on."""

import click
from google.protobuf.message import Message
from mediaservice.v1.rule_pb2 import Rule

from media_service.cli import output
from media_service.cli.json_output import print_json


def role_name(role: "Rule.Role.ValueType") -> str:
    return Rule.Role.Name(role) if role else "-"


def show(message: Message, *fields: str, as_json: bool) -> None:
    """Prints a message, in a pipe as fields separated by tabs."""
    if as_json:
        print_json(message)
    else:
        click.echo("\t".join(map(output.printable, fields)))
