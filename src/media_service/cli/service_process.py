"""What the processes of the service share: settings, logs, and a clean stop on a signal."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from functools import partial

import click
import uvloop

from media_service.cli.garbage_collection import FullCollections, collect_rarely
from media_service.cli.malloc_tuning import return_free_memory, tune_malloc
from media_service.cli.open_file_limit import allow_open_files
from media_service.codecs.sandbox.protections import kernel, lacking
from media_service.config import REQUIRED, Config, ConfigError, load
from media_service.errors import MediaError
from media_service.failpoints import VARIABLE, arm

log = logging.getLogger(__name__)

RETURN_SECONDS = 20.0

Main = Callable[[Config, Callable[[], None]], Awaitable[None]]


class Misconfigured(click.ClickException):
    """A setting is wrong or missing. The exit status 2 tells a supervisor so."""

    exit_code = 2


def settings() -> Config:
    """The settings from the environment."""
    try:
        return load(os.environ)
    except ConfigError as error:
        raise Misconfigured(str(error)) from None


def settings_with_database() -> Config:
    """The settings of a process that needs MEDIA_DATABASE_URL."""
    config = settings()
    if not config.database_url:
        raise Misconfigured(
            "MEDIA_DATABASE_URL is not set. Set it to a URL such as postgresql://media@db/media,"
            " or run `media-service dev`, which has its own database."
        )
    return config


def settings_to_open_media() -> Config:
    """The settings of a server or worker, whose log is on and whose sandbox is as required."""
    config = settings_with_database()
    log_to_stderr(config)
    check_sandbox(config)
    return config


def check_sandbox(config: Config) -> None:
    """Raises Misconfigured if the sandbox must be complete and is not, and logs what it lacks."""
    missing = lacking()
    if missing and config.sandbox == REQUIRED:
        raise Misconfigured(
            f"{kernel()} lacks {'; and '.join(missing)}. Use another kernel, or set"
            " MEDIA_SANDBOX=degraded to open media files anyway."
        )
    for part in missing:
        log.warning("MEDIA_SANDBOX=degraded: %s lacks %s", kernel(), part)


def log_to_stderr(config: Config) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=config.log_level,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )


def run(name: str, main: Main, config: Config) -> None:
    """Runs `main` until SIGTERM or SIGINT, which cancel it."""
    try:
        arm(os.environ)
    except ValueError as error:
        raise Misconfigured(f"{VARIABLE} must be {error}") from None
    allow_open_files()
    tune_malloc()
    # By default, a thread that returns from the disk may wait 5 ms for the interpreter lock.
    sys.setswitchinterval(0.0002)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(until_signalled(main, config, partial(announce_ready, name)))
        except ConfigError as error:
            raise Misconfigured(str(error)) from None
        except MediaError as error:
            raise click.ClickException(error.message) from None
    log.info("%s stopped", name)


def announce_ready(name: str) -> None:
    collect_rarely()
    log.info("%s ready", name)


async def return_memory() -> None:
    """Frees what is not used any more, again and again until cancelled."""
    collections = FullCollections()
    while True:
        await asyncio.sleep(RETURN_SECONDS)
        collections.run_if_due()
        await asyncio.to_thread(return_free_memory)


async def until_signalled(main: Main, config: Config, ready: Callable[[], None]) -> None:
    task = asyncio.ensure_future(main(config, ready))
    returning = asyncio.create_task(return_memory())
    stopping = asyncio.Event()

    def stop() -> None:
        stopping.set()
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        if not stopping.is_set():
            raise
    finally:
        returning.cancel()
