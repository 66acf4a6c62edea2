"""CDNs that are told over HTTP which keys to purge.

Sources, of 2026: developer.fastly.com/reference/api/purging, developers.cloudflare.com/api
(zones/purge_cache), docs.bunny.net/cdn/purge-cache.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from media_service.cdn.purger import PurgeFailed, Purger

TIMEOUT = aiohttp.ClientTimeout(total=5)
# Of an answer, in an error.
MAX_DETAIL = 200


class Client:
    """Sends requests of one purger. The session is opened when it is needed first, because it
    belongs to an event loop."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: Any = None
    ) -> None:
        """Raises PurgeFailed unless the answer is a success."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=TIMEOUT)
        try:
            async with self._session.request(
                method, url, headers=headers, json=body, allow_redirects=False
            ) as answer:
                if answer.status // 100 == 2:
                    return
                detail = (await answer.content.read(MAX_DETAIL)).decode(errors="replace")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise PurgeFailed(f"{type(error).__name__}: {error}") from error
        raise PurgeFailed(f"the answer was {answer.status}: {detail}")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def batches(keys: Sequence[str], most: int) -> Iterator[Sequence[str]]:
    for at in range(0, len(keys), most):
        yield keys[at : at + most]


class HttpPurger:
    def __init__(self) -> None:
        self._client = Client()

    async def close(self) -> None:
        await self._client.close()


class Fastly(HttpPurger):
    def __init__(self, service: str, token: str, api: str = "https://api.fastly.com") -> None:
        super().__init__()
        self._url = f"{api}/service/{service}/purge"
        self._token = token

    async def purge(self, keys: Sequence[str]) -> None:
        for part in batches(keys, 256):
            headers = {"fastly-key": self._token, "accept": "application/json"}
            await self._client.send("POST", self._url, headers, {"surrogate_keys": part})


class Cloudflare(HttpPurger):
    def __init__(
        self, zone: str, token: str, api: str = "https://api.cloudflare.com/client/v4"
    ) -> None:
        super().__init__()
        self._url = f"{api}/zones/{zone}/purge_cache"
        self._token = token

    async def purge(self, keys: Sequence[str]) -> None:
        for part in batches(keys, 30):
            headers = {"authorization": f"Bearer {self._token}"}
            await self._client.send("POST", self._url, headers, {"tags": part})


class Bunny(HttpPurger):
    def __init__(self, zone: str, token: str, api: str = "https://api.bunny.net") -> None:
        super().__init__()
        self._url = f"{api}/pullzone/{zone}/purgeCache"
        self._token = token

    async def purge(self, keys: Sequence[str]) -> None:
        for key in keys:
            await self._client.send(
                "POST", self._url, {"accesskey": self._token}, {"CacheTag": key}
            )


class Webhook(HttpPurger):
    """Any service that takes `{"keys": [...]}`. `token` may be empty."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__()
        self._url = url
        self._headers = {"authorization": f"Bearer {token}"} if token else {}

    async def purge(self, keys: Sequence[str]) -> None:
        for part in batches(keys, 256):
            await self._client.send("POST", self._url, self._headers, {"keys": part})


class Varnish(HttpPurger):
    """Varnish with the module xkey (https://github.com/varnish/varnish-modules). Each has a cache
    of its own, so each is told. docs/cdn.md has the VCL."""

    def __init__(self, urls: Sequence[str]) -> None:
        super().__init__()
        self._urls = urls

    async def purge(self, keys: Sequence[str]) -> None:
        for url in self._urls:
            for part in batches(keys, 100):  # of 43 characters: a header has at most 8 KiB
                await self._client.send("PURGE", url, {"xkey-purge": " ".join(part)})


SERVICES: Mapping[str, Callable[[str, str], Purger]] = {
    "fastly": Fastly,
    "cloudflare": Cloudflare,
    "bunny": Bunny,
}
VARNISH = "varnish+"


def open_purger(address: str, token: str) -> Purger:
    """`address`: "fastly:SERVICE", "cloudflare:ZONE", "bunny:PULLZONE", a URL of Varnish behind
    "varnish+", several separated by commas, or a URL that takes the keys as JSON. Raises ValueError
    if it is none of them."""
    kind, _, id_ = address.partition(":")
    if service := SERVICES.get(kind):
        if not id_.isalnum():
            raise ValueError(f"{kind}:ID, with the id that {kind} gives")
        if not token:
            raise ValueError(f"used together with MEDIA_CDN_TOKEN, which {kind} requires")
        return service(id_, token)
    urls = address.removeprefix(VARNISH).split(",")
    if not all(
        urlsplit(url).scheme in {"http", "https"} and urlsplit(url).hostname for url in urls
    ):
        raise ValueError(
            "fastly:SERVICE, cloudflare:ZONE, bunny:PULLZONE, varnish+http://HOST:PORT,"
            " or an https:// URL"
        )
    if address.startswith(VARNISH):
        return Varnish(urls)
    return Webhook(address, token)
