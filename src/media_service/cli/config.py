"""`media-service config`: the settings."""

import os
from dataclasses import asdict
from itertools import groupby

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from media_service.cli import output
from media_service.cli.json_output import json_option, print_json
from media_service.cli.service_process import Misconfigured
from media_service.cli.settings_list import Setting, describe
from media_service.config import ConfigError, load, unknown_names


@click.command()
@json_option
def config(json_: bool) -> None:
    """Shows every setting, the value it has, and what it means. Secrets are masked.

    Settings are environment variables. In a pipe: one line each, fields separated by tabs. Names
    that begin with MEDIA_ and are no settings are reported afterwards, and the exit status is 2.
    """
    unknown = unknown_names(os.environ)
    try:
        settings = describe(load({k: v for k, v in os.environ.items() if k not in unknown}))
    except ConfigError as error:
        raise Misconfigured(str(error)) from None
    if json_:
        for each in settings:
            print_json(asdict(each))
    elif output.on_terminal():
        for group, members in groupby(settings, lambda each: each.group):
            print_group(group, list(members))
    else:
        for each in settings:
            click.echo("\t".join([each.name, each.value, each.meaning]))
    for problem in unknown.values():
        output.complain(problem)
    if unknown:
        raise SystemExit(Misconfigured.exit_code)


def print_group(group: str, settings: list[Setting]) -> None:
    table = Table(
        "Variable", "Value", "Meaning", title=group, title_justify="left", box=None, pad_edge=False
    )
    for each in settings:
        table.add_row(Text(each.name), Text(each.value or "-"), Text(each.meaning))
    Console().print(table, "")
