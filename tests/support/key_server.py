"""A real server of public keys (JWKS), and tokens that their private keys sign."""

import base64
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ALGORITHMS: list[tuple[type, Any]] = [
    (rsa.RSAPrivateKey, RSAAlgorithm),
    (ec.EllipticCurvePrivateKey, ECAlgorithm),
    (ed25519.Ed25519PrivateKey, OKPAlgorithm),
]


def jwk(private: Any, key_id: str) -> dict[str, Any]:
    algorithm = next(found for kind, found in ALGORITHMS if isinstance(private, kind))
    return {**algorithm.to_jwk(private.public_key(), as_dict=True), "kid": key_id}


def claims(**changes: Any) -> dict[str, Any]:
    return {"sub": "ada", "exp": int(time.time()) + 600} | changes


def handmade(header: bytes, payload: bytes = b"{}", signature: bytes = b"x") -> str:
    pieces = (header, payload, signature)
    return ".".join(base64.urlsafe_b64encode(p).decode().rstrip("=") for p in pieces)


def hmac_signed(header: dict[str, Any], payload: dict[str, Any], secret: bytes) -> str:
    """A token that the library would refuse to sign."""
    pieces = json.dumps(header).encode(), json.dumps(payload).encode()
    unsigned = handmade(*pieces).rpartition(".")[0].encode()
    return handmade(*pieces, hmac.digest(secret, unsigned, "sha256"))


def eddsa(private: ed25519.Ed25519PrivateKey, key_id: str, **changes: Any) -> str:
    """A token that the key signs. Claims of None are left out."""
    stated = {name: value for name, value in claims(**changes).items() if value is not None}
    return jwt.encode(stated, private, "EdDSA", headers={"kid": key_id})


@dataclass
class KeyServer:
    url: str
    answer: Callable[[], tuple[int, bytes]]
    calls: int = 0

    def give(self, *keys: dict[str, Any]) -> None:
        body = json.dumps({"keys": keys}).encode()
        self.answer = lambda: (200, body)


@contextmanager
def key_server() -> Iterator[KeyServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.calls += 1
            status, body = server.answer()
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    http = HTTPServer(("127.0.0.1", 0), Handler)
    server = KeyServer(f"http://127.0.0.1:{http.server_port}/keys", lambda: (404, b""))
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
