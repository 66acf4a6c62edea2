"""The connection to Cloud Storage, and the credentials that the SDK finds."""

import asyncio

import aiohttp
from gcloud.aio.storage import Storage

from media_service.errors import Reason, Unavailable
from media_service.storage.gcs_signing import Signer

# A slow download holds its connection for long: there are to be enough for others.
CONNECTIONS = 512
# Bytes of a download that wait in memory for a slow reader: up to twice this.
READ_AHEAD = 256 << 10


def no_credentials() -> Unavailable:
    return Unavailable(
        Reason.STORAGE_UNAVAILABLE,
        "The object store's credentials cannot be read: see GOOGLE_APPLICATION_CREDENTIALS.",
    )


class GcsClient:
    """`endpoint`: of an emulator, which asks for no credentials; None: Google's own."""

    def __init__(self, endpoint: str | None) -> None:
        self._endpoint = endpoint
        self._session: aiohttp.ClientSession | None = None
        self._storage: Storage | None = None
        self._signer: Signer | None = None

    def storage(self) -> Storage:
        """Made when it is first needed, since it belongs to the event loop it is made in."""
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
        """None unless the credentials are a service account's key."""
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
