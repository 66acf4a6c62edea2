"""`media-service config`: the settings."""

import sys

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from media_service.cli.service_process import settings
from media_service.config import describe


@click.command()
def config() -> None:
    """Shows every setting, the value it has, and what it means. Secrets are masked.

    Settings are environment variables. In a pipe: one line each, fields separated by tabs.
    """
    rows = describe(settings())
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(row))
        return
    table = Table("Variable", "Value", "Meaning", box=None, pad_edge=False)
    for variable, value, meaning in rows:
        table.add_row(Text(variable), Text(value or "-"), Text(meaning))
    Console().print(table)
