"""The option `--json` of commands: objects as REST returns them, for programs."""

import json
from collections.abc import Mapping

import click
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

json_option = click.option("--json", "json_", is_flag=True, help="Print JSON, as REST returns it.")


def print_json(result: Message | Mapping[str, object], indent: int | None = None) -> None:
    fields = json_of(result) if isinstance(result, Message) else result
    click.echo(json.dumps(fields, indent=indent, ensure_ascii=False))


def json_of(message: Message) -> dict[str, object]:
    """A message as REST returns it: with empty fields."""
    return MessageToDict(message, always_print_fields_with_no_presence=True)
