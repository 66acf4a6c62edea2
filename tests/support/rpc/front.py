"""A server in the test's process behind an Envoy of its own."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.envoy import running_envoy
from tests.support.rpc.server import Running, Start, token
from tests.support.tools import NO_TLS, eventually_async


@dataclass
class Front:
    """`log`: what Envoy prints, which is its access log."""

    service: Running
    url: str
    log: Path

    def client(self, user: str = "", **headers: str) -> httpx.AsyncClient:
        """A client of a user, or without a token. `headers`: with _ for -."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if user:
            sent["authorization"] = f"Bearer {token(user)}"
        return httpx.AsyncClient(base_url=self.url, headers=sent, verify=NO_TLS, timeout=30)


Open = Callable[..., AbstractAsyncContextManager[Front]]


def opener(start: Start, folder: Path) -> Open:
    """Returns what starts both, with the given settings."""

    @asynccontextmanager
    async def run(*, work: bool = False, **settings: str) -> AsyncIterator[Front]:
        service = await start(work=work, **settings)
        port = int(service.address.rpartition(":")[2])
        with running_envoy(folder, port, **settings) as envoy:
            async with httpx.AsyncClient(verify=NO_TLS) as client:

                async def ready() -> bool:
                    try:
                        return (await client.get(f"{envoy.url}/healthz")).is_success
                    except httpx.TransportError:
                        return False

                await eventually_async(ready)
            yield Front(service, envoy.url, envoy.log)

    return run
