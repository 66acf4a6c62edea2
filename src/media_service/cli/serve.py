"""`media-service serve`: the gRPC server."""

import click

from media_service.cli.service_process import run, settings_to_open_media


@click.command()
def serve() -> None:
    """Runs the gRPC server on MEDIA_HOST:MEDIA_GRPC_PORT until it is stopped.

    Needs MEDIA_DATABASE_URL, migrated (`media-service migrate`), and MEDIA_JWT_SECRET, or
    MEDIA_JWT_JWKS or MEDIA_JWT_ISSUERS with MEDIA_LINK_KEYS. For REST, put Envoy in front
    (`media-service envoy-config`). For processing, run `media-service work`. `media-service dev`
    runs all of them on one machine.

    SIGTERM or Ctrl-C stops it after running calls had a moment to finish.
    """
    config = settings_to_open_media()
    from media_service import app  # noqa: PLC0415 - the whole server, not for --help

    run("server", app.serve, config)
