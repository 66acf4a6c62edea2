"""An Envoy of a test's own, with the admin interface that the product does not open."""

import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from media_service.config import load
from media_service.envoy_config import render
from tests.support.ports import free_port
from tests.support.tools import NO_TLS


@dataclass(frozen=True)
class Envoy:
    """The URLs of REST and of the admin interface. `log`: what it prints."""

    url: str
    admin: str
    log: Path

    def stat(self, name: str) -> int:
        query = {"filter": f"^{name}$"}
        lines = httpx.get(f"{self.admin}/stats", params=query, verify=NO_TLS).text.splitlines()
        return sum(int(line.rpartition(": ")[2]) for line in lines)


@contextmanager
def running_envoy(folder: Path, grpc_port: int, **settings: str) -> Iterator[Envoy]:
    """Runs it before the server at this port, which need not exist. It may not be ready yet."""
    rest, admin = free_port(), free_port()
    file = folder / "envoy.yaml"
    own = {f"MEDIA_{name.upper()}": value for name, value in settings.items()}
    config = load({**own, "MEDIA_REST_PORT": str(rest)})
    address = f"{{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}"
    file.write_text(
        render(config, [("127.0.0.1", grpc_port)], "127.0.0.1")
        + f"\nadmin: {{address: {address}}}\n"
    )
    program = Path(sysconfig.get_path("scripts")) / "envoy"
    options = ["--use-dynamic-base-id", "--concurrency", "1", "-l", "off"]
    options += ["--file-flush-interval-msec", "50"]
    log = folder / "envoy.log"
    with (
        log.open("wb") as output,
        subprocess.Popen([program, "-c", file, *options], stdout=output) as process,
    ):
        try:
            yield Envoy(f"http://127.0.0.1:{rest}", f"http://127.0.0.1:{admin}", log)
        finally:
            process.terminate()


def answered(url: str) -> httpx.Response | None:
    """The response; None while nothing listens there."""
    try:
        return httpx.get(url, verify=NO_TLS)
    except httpx.ConnectError:
        return None
