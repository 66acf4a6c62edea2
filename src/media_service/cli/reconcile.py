"""`media-service reconcile`: compares the database with the stores."""

import asyncio
import json
import signal
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta

import click

from media_service.cli import output
from media_service.cli.client_command import INTERRUPTED
from media_service.cli.data_dir import borrowed_database
from media_service.cli.duration import Duration
from media_service.cli.json_output import json_option
from media_service.cli.service_process import settings
from media_service.config import Config, ConfigError
from media_service.db.migrate import is_current
from media_service.errors import MediaError
from media_service.reconcile.model import Finding, Kind, StoreMismatch

ERROR = 2


@dataclass(frozen=True)
class Tally:
    """Counts the findings of a run."""

    repair: bool
    as_json: bool
    found: Counter[Kind] = field(default_factory=Counter)
    repaired: Counter[Kind] = field(default_factory=Counter)

    @property
    def clean(self) -> bool:
        return self.found == self.repaired

    def summary(self) -> str:
        """The result in one line."""
        if not self.found:
            return "No findings."
        words = []
        for kind in Kind:
            if count := self.found[kind]:
                word = f"{count} {kind.lower()}"
                if repaired := self.repaired[kind]:
                    word += " (repaired)" if repaired == count else f" ({repaired} repaired)"
                words.append(word)
        advice = ""
        if not self.repair:
            advice = " Run with --repair to repair what can be repaired."
        elif self.found[Kind.MISSING] or self.found[Kind.CORRUPT]:
            advice = " Media without their bytes are in quarantine; bring the bytes back, then run"
            advice += " this again."
        return f"Found: {', '.join(words)}.{advice}"


@click.command(
    epilog="""\b
Examples:
  media-service reconcile                   compare, and change nothing
  media-service reconcile --no-checksums    much faster: names and sizes only
  media-service reconcile --repair          compare, and repair what can be repaired
  media-service reconcile | grep ^MISSING | cut -f3
"""
)
@click.option("--repair", is_flag=True, help="Repair what can be repaired, as described above.")
@click.option(
    "--no-checksums",
    is_flag=True,
    help="Do not read the blobs: faster, but does not find damaged bytes.",
)
@click.option(
    "--older-than",
    type=Duration(),
    default="24h",
    show_default=True,
    metavar="SPAN",
    help="Keep unreferenced bytes younger than this, such as 90m or 7d. With a short span, running"
    " uploads may lose parts that are stored but not yet acknowledged.",
)
@json_option
def reconcile(repair: bool, no_checksums: bool, older_than: timedelta, json_: bool) -> None:
    """Checks that every blob exists with the bytes that were stored, and that the stores contain
    nothing that the database does not name.

    Prints one line per finding: kind, key, media and reason, separated by tabs in a pipe.

    \b
      MISSING    The bytes of a media do not exist.
                 --repair puts the media into quarantine and deletes nothing.
      CORRUPT    The bytes differ from those that were stored.
                 --repair: as for MISSING.
      RECOVERED  The bytes of a media in quarantine are intact again, for
                 example from a backup. --repair ends the quarantine.
      ORPHANED   A blob without a media, left by a crash.
                 --repair checks it again and deletes it.
      ABANDONED  Parts of an upload that no longer exists. --repair deletes them.

    It reads every blob, and may run beside the service. It uses MEDIA_DATABASE_URL, or the database
    of `media-service dev` in MEDIA_DATA_DIR, whether or not that is running.

    Exit status: 0 without findings or if all are repaired, 1 with open findings, 2 for errors.
    """
    # Like Ctrl-C: stops what was started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    tally = Tally(repair, as_json=json_)
    try:
        with borrowed_database(settings()) as url:
            config = replace(settings(), database_url=url)
            asyncio.run(compare(config, tally, older_than, checksums=not no_checksums))
    except (MediaError, ConfigError, StoreMismatch) as error:
        output.complain(str(error))
        raise SystemExit(ERROR) from None
    except KeyboardInterrupt:
        output.complain("stopped before the end")
        raise SystemExit(INTERRUPTED) from None
    click.echo(tally.summary(), err=True)
    if not tally.clean:
        raise SystemExit(1)


async def compare(config: Config, tally: Tally, older_than: timedelta, *, checksums: bool) -> None:
    """Compares all stores. Prints the findings, and repairs them if requested."""
    if not await is_current(config.database_url):
        raise ConfigError(
            "the database does not have the schema of this version; run `media-service migrate`,"
            " or `media-service dev`, which does it"
        )
    from media_service import app  # noqa: PLC0415 - the whole service, not for --help

    async with app.reconciler(config, older_than) as reconciler:

        async def report(finding: Finding) -> None:
            tally.found[finding.kind] += 1
            text = json_line(finding) if tally.as_json else line(finding)
            print(text, flush=True)  # unlike click's, this appears above a bar
            if tally.repair and await reconciler.repair(finding):
                tally.repaired[finding.kind] += 1

        for name, store in reconciler.comparisons(report).items():
            with output.progress(f"{name}: blobs") as advance:
                count = await store.blobs(advance, checksums=checksums)
            with output.waiting(f"{name}: looking for orphans"):
                objects = await store.objects()
                await store.open_blobs()
            click.echo(f"Checked {count} blobs and {objects} objects of {name}.", err=True)


def json_line(finding: Finding) -> str:
    fields = {"kind": finding.kind, "store": finding.store, "key": finding.key}
    return json.dumps({**fields, "mediaIds": finding.media_ids, "reason": finding.detail})


def line(finding: Finding) -> str:
    """Kind, key, media ids and reason, separated by tabs, or in columns on a terminal."""
    kind = finding.kind.ljust(9) if output.on_terminal() else finding.kind
    media = ",".join(finding.media_ids) or "-"
    fields = [kind, finding.key, media, finding.detail]
    return ("  " if output.on_terminal() else "\t").join(map(output.printable, fields))
