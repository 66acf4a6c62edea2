"""Durations as options: 90s, 30m, 24h, 7d."""

from datetime import timedelta

import click

from media_service import config


class Span(click.ParamType[timedelta]):
    name = "span"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        if isinstance(value, timedelta):
            return value
        try:
            return config.span(str(value))
        except ValueError as error:
            self.fail(f"{value!r} is not allowed, it must be {error}", param, ctx)
