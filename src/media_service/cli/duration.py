"""Durations as options: 90s, 30m, 24h, 7d."""

from datetime import timedelta

import click

from media_service import config


class Duration(click.ParamType[timedelta]):
    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        if isinstance(value, timedelta):
            return value
        try:
            return config.duration(str(value))
        except ValueError as error:
            self.fail(f"{value!r} is not allowed, it must be {error}", param, ctx)
