"""`media-service envoy-config`: the configuration of Envoy, which serves REST."""

import re

import click

from media_service.cli.service_process import settings
from media_service.envoy_config import render


class HostPort(click.ParamType[tuple[str, int]]):
    name = "host:port"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        match = re.fullmatch(r"\[?([A-Za-z0-9._:-]+?)\]?:(\d{1,5})", str(value))
        if not match or not 0 < int(match[2]) < 65536:
            self.fail(f"{value!r} is not host:port, such as server:50051", param, ctx)
        return match[1], int(match[2])


@click.command(
    epilog="""\b
Example:
  media-service envoy-config --upstream server-1:50051 --upstream server-2:50051 > envoy.yaml
  envoy -c envoy.yaml
"""
)
@click.option(
    "--upstream",
    "upstreams",
    type=HostPort(),
    multiple=True,
    metavar="HOST:PORT",
    help="A gRPC server; may be repeated. Default: 127.0.0.1 at MEDIA_GRPC_PORT.",
)
@click.option("--listen", metavar="ADDRESS", help="Where REST listens. Default: MEDIA_HOST.")
def envoy_config(upstreams: tuple[tuple[str, int], ...], listen: str | None) -> None:
    """Prints the configuration of Envoy, which serves REST on MEDIA_REST_PORT.

    The result is one file. It refers only to the TLS certificate and key, MEDIA_TLS_CERT and
    MEDIA_TLS_KEY. MEDIA_CORS_ORIGINS sets CORS.
    """
    config = settings()
    click.echo(
        render(config, upstreams or [("127.0.0.1", config.grpc_port)], listen or config.host)
    )
