"""The connection to Cloud Storage, and the credentials that the SDK finds."""

import asyncio

import aiohttp
from gcloud.aio.storage import Storage

from media_service.errors import Reason, Unavailable
from media_service.storage.drivers.gcs.signing import Signer

# The maximum number of connections. Slow downloads occupy theirs for a long time.
CONNECTIONS = 512
# A download buffers up to twice this for a slow reader.
READ_AHEAD = 256 << 10


def no_credentials() -> Unavailable:
    return Unavailable(
        Reason.STORAGE_UNAVAILABLE,
        "The credentials of the object store cannot be read. Check GOOGLE_APPLICATION_CREDENTIALS.",
    )


class GcsClient:
    """Opens the SDK's client. `endpoint` is the URL of an emulator, which needs no credentials;
    None selects Google."""

    def __init__(self, endpoint: str | None) -> None:
        self._endpoint = endpoint
        self._session: aiohttp.ClientSession | None = None
        self._storage: Storage | None = None
        self._signer: Signer | None = None

    def storage(self) -> Storage:
        """The SDK's client. It belongs to an event loop, so it is created on first use."""
        if self._storage is None:
            if self._session is None:
                connector = aiohttp.TCPConnector(limit=CONNECTIONS)
                self._session = aiohttp.ClientSession(connector=connector, read_bufsize=READ_AHEAD)
            try:
                self._storage = Storage(session=self._session, api_root=self._endpoint)
            except (OSError, ValueError, KeyError) as error:
                raise no_credentials() from error
        return self._storage

    async def signer(self) -> Signer | None:
        """Returns None unless the credentials are the key of a service account."""
        if self._signer is None:
            account = self.storage().token.service_data
            if "private_key" not in account:
                return None
            try:
                self._signer = await asyncio.to_thread(
                    Signer, account["client_email"], account["private_key"]
                )
            except (ValueError, KeyError) as error:
                raise no_credentials() from error
        return self._signer

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
