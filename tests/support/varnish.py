"""A real Varnish in front of a service, with the configuration of `deploy/varnish.vcl`."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.tools import eventually, missing

VCL = Path(__file__).parents[2] / "deploy" / "varnish.vcl"


@contextmanager
def varnish(folder: Path, backend_port: int, port: int) -> Iterator[str]:
    """Yields its URL. `port`: where it listens."""
    program = shutil.which("varnishd", path="/usr/sbin:/usr/bin") or missing("varnishd")
    config = folder / "varnish.vcl"
    config.write_text(VCL.read_text().replace('.port = "8080"', f'.port = "{backend_port}"'))
    options = ["-F", "-j", "none", "-f", str(config), "-n", str(folder / "varnish")]
    listen = ["-a", f"127.0.0.1:{port}", "-T", "none", "-s", "malloc,16M"]
    process = subprocess.Popen([program, *options, *listen], stdout=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: answers(url))
        yield url
    finally:
        process.terminate()
        process.wait()


def answers(url: str) -> bool:
    """Whether Varnish answers. The service may run in the event loop of the test, which waits."""
    try:
        return httpx.get(f"{url}/healthz").status_code > 0
    except httpx.TransportError:
        return False
