"""The options of client commands, and how their errors are shown."""

import functools
import getpass
import os
import socket
from collections.abc import Callable, Mapping
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NoReturn

import click

from media_service import config
from media_service.cli import output
from media_service_client import Client, MediaServiceError

# The settings that a client shares with a server on the same machine.
SHARED = (
    "MEDIA_DATA_DIR",
    "MEDIA_GRPC_PORT",
    "MEDIA_JWT_SECRET",
    "MEDIA_JWT_ISSUER",
    "MEDIA_JWT_AUDIENCE",
)
OWN_TOKEN_LIFETIME = timedelta(hours=24)
INTERRUPTED = 130


def local_settings(environ: Mapping[str, str]) -> config.Config:
    """The settings that a client shares with a server on the same machine."""
    try:
        return config.load({name: environ[name] for name in SHARED if name in environ})
    except config.ConfigError as error:
        raise click.ClickException(str(error)) from None


def signing_key(settings: config.Config) -> str:
    """MEDIA_JWT_SECRET, or the key that `media-service dev` keeps in the data directory; empty if
    there is neither."""
    if settings.jwt_secret:
        return settings.jwt_secret
    try:
        return (settings.data_dir / "jwt-secret").read_text().strip()
    except OSError:
        return ""


def is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def own_token(settings: config.Config) -> str:
    """A token for the current user; empty without the signing key."""
    from media_service.cli.token_signing import sign  # noqa: PLC0415 - PyJWT is slow to import

    key = signing_key(settings)
    return sign(settings, key, getpass.getuser(), OWN_TOKEN_LIFETIME) if key else ""


def client_command(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the connection options to a command, which receives a connected `Client` as its first
    argument."""

    @click.option(
        "--address",
        envvar="MEDIA_ADDRESS",
        show_envvar=True,
        metavar="HOST:PORT",
        help="Address of the service. Default: 127.0.0.1, with $MEDIA_GRPC_PORT or 50051.",
    )
    @click.option(
        "--token",
        envvar="MEDIA_TOKEN",
        show_envvar=True,
        metavar="TOKEN",
        help="Access token or API key. Default on the service's own machine: a token for the"
        " current user.",
    )
    @click.option("--tls", is_flag=True, help="Use TLS with the public certificate authorities.")
    @click.option(
        "--ca-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Use TLS with the certificate authorities in this PEM file.",
    )
    @functools.wraps(command)
    def run(
        address: str | None, token: str | None, tls: bool, ca_file: Path | None, **options: Any
    ) -> None:
        settings = local_settings(os.environ)
        for problem in config.unknown_names(os.environ).values():
            output.complain(problem)
        address = address or f"127.0.0.1:{settings.grpc_port}"
        if not token and is_loopback(address):
            token = own_token(settings)
        try:
            require_listener(address)
            with Client(address, token=token or "", tls=tls, ca_file=ca_file) as client:
                command(client, **options)
        except MediaServiceError as error:
            fail(advice(error, address))
        except BrokenPipeError:
            # The reader closed the pipe, so nothing may be written at exit either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            raise SystemExit(1) from None
        except OSError as error:
            fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        except KeyboardInterrupt:
            output.complain("stopped")
            raise SystemExit(INTERRUPTED) from None

    return run


def require_listener(address: str) -> None:
    """Fails at once if nothing listens. The client's retries are for services that restart, not for
    services that were never started."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise click.UsageError(f"--address: {address!r} is not HOST:PORT")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except OSError as error:
        fail(no_answer(address, error.strerror or str(error)))


def no_answer(address: str, why: str) -> str:
    return (
        f"no response from {address}: {why}\n"
        "Start the service with `media-service dev`, or select another one with --address."
    )


def fail(message: str) -> NoReturn:
    output.complain(message)
    raise SystemExit(1)


def advice(error: MediaServiceError, address: str) -> str:
    """The error, and what to do about it."""
    match error.code.name:
        case "UNAVAILABLE" if not error.reason:
            return no_answer(address, error.message)
        case "UNAUTHENTICATED":
            return (
                f"{error}\nPass a token with --token or MEDIA_TOKEN. With the signing key, "
                "`media-service token --user NAME` creates one."
            )
        case "NOT_FOUND" if error.reason == "MEDIA_NOT_FOUND":
            return f"{error}\n`media-service ls` lists your media."
        case _:
            return str(error)
