"""Sizes in options, such as 50MiB."""

import click

from media_service import config


def size(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """The bytes of an option's value: its callback."""
    try:
        return None if value is None else config.size(value)
    except ValueError as error:
        raise click.BadParameter(f"must be {error}") from None
