"""TLS with a configured certificate and key, on the REST port and on the gRPC port."""

import io
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from media_service_client import Client, MediaServiceError
from media_service_client.retry import Backoff
from tests.support.media.small_files import jpeg
from tests.support.rest import trusting
from tests.support.service import Service, environment, running

ONCE = Backoff(attempts=1)


def certify(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for localhost, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_file, key_file


@pytest.fixture(scope="module")
def certificate() -> Iterator[tuple[Path, Path]]:
    with tempfile.TemporaryDirectory(prefix="media-tls-") as folder:
        yield certify(Path(folder))


@pytest.fixture(scope="module")
def ca_file(certificate: tuple[Path, Path]) -> Path:
    return certificate[0]


@pytest.fixture(scope="module")
def secure(certificate: tuple[Path, Path]) -> Iterator[Service]:
    """A service with TLS."""
    cert, key = certificate
    with tempfile.TemporaryDirectory(prefix="media-tls-") as folder:
        environ = environment(
            Path(folder) / "data", MEDIA_TLS_CERT=str(cert), MEDIA_TLS_KEY=str(key)
        )
        with running(environ) as service:
            yield replace(service, base_url=service.base_url.replace("http:", "https:"))


def test_rest_is_served_over_https(secure: Service, ca_file: Path) -> None:
    with httpx.Client(
        base_url=secure.base_url,
        headers=secure.bearer("alice"),
        verify=trusting(ca_file),
        trust_env=False,
        timeout=30,
    ) as client:
        data = jpeg()
        answer = client.post("/v1/media:upload?filename=a.jpg", content=data)
        assert answer.status_code == 201
        assert answer.headers["location"].startswith("https://localhost:")
        media = answer.json()["mediaId"]
        assert client.get(f"/v1/media/{media}/content").content == data


def test_a_client_that_does_not_trust_the_certificate_does_not_connect(secure: Service) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{secure.base_url}/healthz", trust_env=False)


def test_grpc_is_served_over_tls(secure: Service, ca_file: Path) -> None:
    data, token = jpeg(), secure.token("alice")
    with Client(secure.grpc_address, token=token, ca_file=ca_file, backoff=ONCE) as client:
        copy = io.BytesIO()
        client.download(client.upload(data).media_id, copy)
    assert copy.getvalue() == data


def test_a_plaintext_grpc_client_is_refused(secure: Service) -> None:
    token = secure.token("alice")
    with (
        Client(secure.grpc_address, token=token, backoff=ONCE) as client,
        pytest.raises(MediaServiceError, match="UNAVAILABLE"),
    ):
        client.upload(jpeg())


@pytest.mark.parametrize("port", ["rest", "grpc"])
def test_a_plaintext_http_client_is_refused(secure: Service, port: str) -> None:
    address = urlsplit(secure.base_url).netloc if port == "rest" else secure.grpc_address
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://{address}/healthz", trust_env=False, timeout=10)


@pytest.mark.parametrize("port", ["rest", "grpc"])
def test_old_versions_of_tls_are_refused(secure: Service, port: str) -> None:
    address = urlsplit(secure.base_url).netloc if port == "rest" else secure.grpc_address
    host, _, number = address.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.deprecated_call():
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection((host, int(number)), 10) as plain,
        # It responds or disconnects, and the client reports that in one of several forms.
        pytest.raises(OSError, match=r"ALERT_PROTOCOL_VERSION|EOF|reset"),
    ):
        context.wrap_socket(plain)


def test_the_commands_that_dev_prints_trust_the_certificate(
    secure: Service, ca_file: Path, tmp_path: Path
) -> None:
    assert any(f"curl --cacert {ca_file}" in line for line in secure.welcome)
    file = tmp_path / "a.jpg"
    file.write_bytes(jpeg())
    stored = subprocess.run(
        [sys.executable, "-m", "media_service", "upload", "--ca-file", str(ca_file), str(file)],
        env=secure.environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert stored.stdout.rstrip().endswith("\ta.jpg"), stored.stderr
