"""A service account with a new key."""

import json
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

EMAIL = "media@example.com"


def service_account(path: Path, token_uri: str) -> rsa.RSAPublicKey:
    """Writes credentials in Google's format. Returns the public key that verifies signatures."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    text = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    credentials = {
        "type": "service_account",
        "client_email": EMAIL,
        "private_key": text.decode(),
        "private_key_id": "1",
        "project_id": "p",
        "token_uri": token_uri,
    }
    path.write_text(json.dumps(credentials))
    return private.public_key()
