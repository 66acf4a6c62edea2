"""Signs URLs of Cloud Storage with the key of a service account.

https://cloud.google.com/storage/docs/authentication/canonical-requests
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import quote, urlencode, urlsplit

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from media_service.storage.driver import validity_seconds

GOOGLE = "https://storage.googleapis.com"
ALGORITHM = "GOOG4-RSA-SHA256"


class Signer:
    """Signs URLs. Reading the key takes 50 ms and signing takes 0.5 ms, so run both in a thread.

    Raises ValueError if the key is not an RSA key in PEM format.
    """

    def __init__(self, email: str, private_key: str) -> None:
        self._email = email
        key = load_pem_private_key(private_key.encode(), password=None)
        if not isinstance(key, RSAPrivateKey):
            raise ValueError("not an RSA key")
        self._key = key

    def url(
        self,
        method: str,
        endpoint: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        at: datetime,
        ttl: timedelta,
    ) -> str:
        """Signs a URL for requests with exactly these `headers`, whose names must be lowercase.
        `path` is `/bucket/object`, not quoted. The URL is valid for `ttl`, starting at `at`."""
        time = at.strftime("%Y%m%dT%H%M%SZ")
        scope = f"{time[:8]}/auto/storage/goog4_request"
        signed = sorted({**headers, "host": urlsplit(endpoint).netloc}.items())
        names = ";".join(name for name, _ in signed)
        parameters = {
            **query,
            "X-Goog-Algorithm": ALGORITHM,
            "X-Goog-Credential": f"{self._email}/{scope}",
            "X-Goog-Date": time,
            "X-Goog-Expires": str(validity_seconds(ttl)),
            "X-Goog-SignedHeaders": names,
        }
        quoted = quote(path, safe="/~")
        canonical_query = urlencode(sorted(parameters.items()), quote_via=quote, safe="")
        lines = "".join(f"{name}:{value}\n" for name, value in signed)
        request = f"{method}\n{quoted}\n{canonical_query}\n{lines}\n{names}\nUNSIGNED-PAYLOAD"
        digest = hashlib.sha256(request.encode()).hexdigest()
        text = f"{ALGORITHM}\n{time}\n{scope}\n{digest}"
        signature = self._key.sign(text.encode(), PKCS1v15(), SHA256()).hex()
        return f"{endpoint}{quoted}?{canonical_query}&X-Goog-Signature={signature}"
