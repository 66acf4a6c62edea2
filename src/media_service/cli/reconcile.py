"""`media-service reconcile`: whether everything is there."""

import asyncio
import signal
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta

import click

from media_service.cli import output
from media_service.cli.connection import INTERRUPTED
from media_service.cli.data_dir import borrowed_database
from media_service.cli.process import settings
from media_service.config import Config, ConfigError, span
from media_service.db.migrate import is_current
from media_service.errors import MediaError
from media_service.reconcile.model import Finding, Kind, NotTheSame

ERROR = 2


class Span(click.ParamType[timedelta]):
    """A length of time, as settings have it."""

    name = "span"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        try:
            return span(value)
        except ValueError as error:
            self.fail(f"{value!r} is not allowed, it must be {error}", param, ctx)


@dataclass(frozen=True)
class Tally:
    """What a run looked at, and found."""

    repair: bool
    found: Counter[Kind] = field(default_factory=Counter)
    repaired: Counter[Kind] = field(default_factory=Counter)

    @property
    def clean(self) -> bool:
        return self.found == self.repaired

    def summary(self) -> str:
        """One line."""
        if not self.found:
            return "Everything is there."
        words = []
        for kind in Kind:
            if count := self.found[kind]:
                word = f"{count} {kind.lower()}"
                if repaired := self.repaired[kind]:
                    word += " (mended)" if repaired == count else f" ({repaired} mended)"
                words.append(word)
        advice = ""
        if not self.repair:
            advice = " --repair mends what can be mended."
        elif self.found[Kind.MISSING] or self.found[Kind.CORRUPT]:
            advice = " Media without their bytes are in quarantine; bring the bytes back, then run"
            advice += " this again."
        return f"Found: {', '.join(words)}.{advice}"


@click.command(
    epilog="""\b
Examples:
  media-service reconcile                   look, and change nothing
  media-service reconcile --no-checksums    much faster: names and sizes only
  media-service reconcile --repair          look, and mend what can be mended
  media-service reconcile | grep ^MISSING | cut -f3
"""
)
@click.option("--repair", is_flag=True, help="Mend what can be mended, as told above.")
@click.option(
    "--no-checksums", is_flag=True, help="Do not read the blobs: fast, but blind to damage."
)
@click.option(
    "--older-than",
    type=Span(),
    default="24h",
    show_default=True,
    metavar="SPAN",
    help="Leave alone what nobody names for so long, such as 90m or 7d. Running uploads may lose"
    " parts they have not been told are stored, if it is short.",
)
def reconcile(repair: bool, no_checksums: bool, older_than: timedelta) -> None:
    """Checks that the database and the stores agree: that every blob is there and has the bytes it
    was stored with, and that nothing lies about that nobody names.

    One line for each finding: what, key, media, and why. In a pipe, tabs are between them.

    \b
      MISSING    The bytes of a media are not there.
                 --repair puts the media into QUARANTINE; nothing is deleted.
      CORRUPT    The bytes are not those that were stored. --repair: the same.
      RECOVERED  The bytes of a media in quarantine are all right again, for
                 instance from a backup. --repair ends the quarantine.
      ORPHANED   A blob that no media has, left by a crash.
                 --repair looks again, and deletes it.
      ABANDONED  Parts of an upload that is no more. --repair deletes them.

    It reads every blob, and may run beside the service at any time. It uses MEDIA_DATABASE_URL, or
    the database of `media-service dev` in MEDIA_DATA_DIR, whether that runs or not.

    Exit status: 0 if all is well, 1 if something was found and is not mended, 2 for errors.
    """
    # As Ctrl-C does: what was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    tally = Tally(repair)
    try:
        with borrowed_database(settings()) as url:
            config = replace(settings(), database_url=url)
            asyncio.run(compare(config, tally, older_than, checksums=not no_checksums))
    except (MediaError, ConfigError, NotTheSame) as error:
        output.complain(str(error))
        raise SystemExit(ERROR) from None
    except KeyboardInterrupt:
        output.complain("stopped before the end")
        raise SystemExit(INTERRUPTED) from None
    click.echo(tally.summary(), err=True)
    if not tally.clean:
        raise SystemExit(1)


async def compare(config: Config, tally: Tally, older_than: timedelta, *, checksums: bool) -> None:
    """Compares all stores. Prints what is found, and mends it if that is wanted."""
    if not await is_current(config.database_url):
        raise ConfigError(
            "the database has not this version's schema; run `media-service migrate`, or start"
            " `media-service dev`, which does it"
        )
    from media_service import app  # noqa: PLC0415 - the whole service, not for --help

    async with app.reconciler(config, older_than) as reconciler:

        async def report(finding: Finding) -> None:
            tally.found[finding.kind] += 1
            print(line(finding), flush=True)  # which, unlike click's, goes above a bar
            if tally.repair and await reconciler.repair(finding):
                tally.repaired[finding.kind] += 1

        for name, store in reconciler.comparisons(report).items():
            with output.progress(f"{name}: blobs") as advance:
                count = await store.blobs(advance, checksums=checksums)
            with output.waiting(f"{name}: looking for what nobody names"):
                objects = await store.objects()
                await store.open_blobs()
            click.echo(f"Looked at {count} blobs and {objects} objects of {name}.", err=True)


def line(finding: Finding) -> str:
    """Kind, key, media ids and why; tabs between, or columns on a terminal."""
    kind = finding.kind.ljust(9) if output.on_terminal() else finding.kind
    media = ",".join(finding.media_ids) or "-"
    fields = [kind, finding.key, media, finding.detail]
    return ("  " if output.on_terminal() else "\t").join(map(output.printable, fields))
