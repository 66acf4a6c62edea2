"""Service accounts that authenticate with client certificates: over TLS, and behind a proxy."""

import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from cryptography import x509
from mediaservice.v1 import credentials_service_pb2 as pb
from mediaservice.v1 import media_service_pb2, media_service_pb2_grpc

from media_service.config import ConfigError, load
from media_service.ids import new_id
from media_service.rpc.client_certificates import forwarded_names, in_networks
from tests.support.certificates import LOCALHOST, Authority, Pair
from tests.support.envoy import running_envoy
from tests.support.ports import free_port
from tests.support.rest import refusal
from tests.support.rpc.server import Caller, Running, Start, refused, token
from tests.support.tools import eventually_async

LIST = media_service_pb2.ListMediaRequest()
URI, NAME = "spiffe://cluster.example/ns/media/sa/import", "export.internal"
LOOPBACK = "127.0.0.0/8,::1"


async def account(caller: Caller) -> str:
    request = pb.CreateServiceAccountRequest(display_name="robot")
    created = await caller.call(caller.credentials.CreateServiceAccount, request)
    return str(created.service_account_id)


@dataclass
class Secured:
    """A server with TLS, and how to call it. `imports`, `exports`: the ids of the service accounts
    with the certificates of these names. `settings`: those of TLS."""

    authority: Authority
    server: Pair
    running: Running
    client_port: int
    imports: str
    exports: str
    settings: dict[str, str]

    @asynccontextmanager
    async def stub(self, pair: Pair | None, port: int | None = None) -> AsyncIterator[Any]:
        key, chain = (pair.key.read_bytes(), pair.certificate.read_bytes()) if pair else (None,) * 2
        roots = self.authority.certificate.read_bytes()
        credentials = grpc.ssl_channel_credentials(roots, key, chain)
        address = f"localhost:{port or self.client_port}"
        async with grpc.aio.secure_channel(address, credentials) as channel:
            yield media_service_pb2_grpc.MediaServiceStub(channel)


@pytest.fixture
async def secured(start: Start, ann: Caller, tmp_path: Path) -> Secured:
    """Its accounts are created on a server without TLS, on the same database."""
    authority = Authority.new(tmp_path)
    server, port = authority.issue("server", *LOCALHOST), free_port()
    imports, exports = await account(ann), await account(ann)
    settings = {
        "tls_cert": str(server.certificate),
        "tls_key": str(server.key),
        "tls_client_ca": str(authority.certificate),
        "tls_client_port": str(port),
        "client_certificates": f"{URI}={imports}, {NAME.upper()}={exports.upper()}",
    }
    return Secured(authority, server, await start(**settings), port, imports, exports, settings)


async def list_as(secured: Secured, *names: x509.GeneralName, **headers: str) -> Any:
    pair = secured.authority.issue("client", *names)
    async with secured.stub(pair) as stub:
        return await stub.ListMedia(LIST, metadata=tuple(headers.items()))


async def test_a_certificate_stands_for_the_service_account_of_its_name(
    secured: Secured, ann: Caller
) -> None:
    for names in (
        (x509.UniformResourceIdentifier(URI),),
        (x509.DNSName("other.internal"), x509.DNSName("Export.Internal")),
    ):
        await list_as(secured, *names)
    # A token precedes the certificate.
    headers = {"authorization": f"Bearer {token('ann', scope='jobs.read')}"}
    refusal_ = await refused(list_as(secured, x509.DNSName(NAME), **headers))
    assert refusal_.reason == "SCOPE_MISSING"
    request = pb.DeleteServiceAccountRequest(service_account_id=secured.exports)
    await ann.call(ann.credentials.DeleteServiceAccount, request)
    refusal_ = await refused(list_as(secured, x509.DNSName(NAME)))
    assert (refusal_.code, refusal_.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")


@pytest.mark.parametrize(
    "names",
    [
        [x509.DNSName("other.internal")],
        [x509.DNSName(URI)],  # a name of the wrong kind
        [x509.UniformResourceIdentifier(f"{URI}x")],
        [x509.UniformResourceIdentifier(URI), x509.DNSName(NAME)],
    ],
)
async def test_another_certificate_stands_for_nobody(
    secured: Secured, names: list[x509.GeneralName]
) -> None:
    refusal_ = await refused(list_as(secured, *names))
    assert refusal_.reason == "TOKEN_INVALID"
    headers = {"authorization": f"Bearer {token('ann')}"}
    assert not (await list_as(secured, *names, **headers)).media


async def test_the_port_of_clients_needs_a_certificate_of_the_authority(
    secured: Secured, tmp_path: Path
) -> None:
    (tmp_path / "others").mkdir()
    stranger = Authority.new(tmp_path / "others").issue(
        "client", x509.UniformResourceIdentifier(URI)
    )
    for pair in (None, stranger):
        async with secured.stub(pair) as stub:
            with pytest.raises(grpc.RpcError) as caught:
                await stub.ListMedia(LIST, timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    # The other port does not ask for one.
    pair = secured.authority.issue("client", x509.UniformResourceIdentifier(URI))
    port = int(secured.running.address.rpartition(":")[2])
    async with secured.stub(pair, port) as stub:
        assert (await refused(stub.ListMedia(LIST))).reason == "TOKEN_MISSING"


async def test_envoy_passes_on_the_names_of_verified_certificates(
    secured: Secured, start: Start, tmp_path: Path
) -> None:
    (tmp_path / "envoy").mkdir()
    behind = await start(
        **secured.settings | {"certificate_proxies": LOOPBACK, "tls_client_port": ""}
    )
    port = int(behind.address.rpartition(":")[2])
    forged = {"x-forwarded-client-cert": f"URI={URI}"}
    client = secured.authority.issue("client", x509.UniformResourceIdentifier(URI))
    context = ssl.create_default_context(cafile=secured.authority.certificate)
    with running_envoy(tmp_path / "envoy", port, **secured.settings) as envoy:
        url = envoy.url.replace("http://127.0.0.1", "https://localhost")
        async with httpx.AsyncClient(base_url=url, verify=context, headers=forged) as http:

            async def ready() -> bool:
                try:
                    return (await http.get("/healthz")).is_success
                except httpx.TransportError:
                    return False

            await eventually_async(ready)
            assert refusal(await http.get("/v1/media")) == (401, "TOKEN_MISSING")
        context.load_cert_chain(client.certificate, client.key)
        async with httpx.AsyncClient(base_url=url, verify=context) as http:
            answer = await http.post("/v1/media:upload?filename=a.txt", content=b"bytes")
            assert refusal(answer) == (415, "TYPE_NOT_ALLOWED")  # after authentication
            assert (await http.get("/v1/media")).status_code == 200


async def test_only_a_trusted_proxy_may_forward_a_certificate(start: Start, ann: Caller) -> None:
    account_id = await account(ann)
    mapped = {"client_certificates": f"{URI}={account_id}"}
    header = (("x-forwarded-client-cert", f"By=x;URI={URI}"),)
    trusting = await start(**mapped, certificate_proxies=LOOPBACK)
    for proxies in ("", "192.0.2.0/24"):
        distrusting = await start(**mapped, certificate_proxies=proxies)
        caller = await distrusting.caller("ann")
        refusal_ = await refused(caller.media.ListMedia(LIST, metadata=header))
        assert refusal_.reason == "TOKEN_MISSING"
    caller = await trusting.caller("ann")
    await caller.media.ListMedia(LIST, metadata=header)
    other = (("x-forwarded-client-cert", f"URI={URI},URI=spiffe://other"),)
    refusal_ = await refused(caller.media.ListMedia(LIST, metadata=other))
    assert (refusal_.reason, "spiffe" in refusal_.message) == ("TOKEN_INVALID", False)


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("", []),
        ("Hash=ab", []),
        ("By=spiffe://me;Hash=ab;URI=spiffe://you", ["spiffe://you"]),
        ('Subject="CN=a;URI=spiffe://evil,O=b";DNS=A.example;DNS=b', ["a.example", "b"]),
        ('Subject="CN=\\";URI=spiffe://evil";URI="spiffe://a,b;c=\\"d"', ['spiffe://a,b;c="d']),
        ("URI=spiffe://first,URI=spiffe://last", ["spiffe://last"]),
        ("URI=spiffe://first,", ["spiffe://first"]),
        ("uri=a://b; dns=c", ["a://b", "c"]),
        ("DNS=spiffe://evil;URI=evil", ["", ""]),
    ],
)
def test_the_last_certificate_of_the_header_counts(header: str, names: list[str]) -> None:
    assert list(forwarded_names(header)) == names


@pytest.mark.parametrize(
    ("peer", "inside"),
    [
        ("ipv4:10.1.2.3:50000", True),
        ("ipv4:11.1.2.3:50000", False),
        ("ipv6:%5B2001:db8::1%5D:50000", True),
        ("ipv6:%5B2001:db9::1%5D:50000", False),
        ("ipv6:%5B::ffff:10.1.2.3%5D:50000", True),
        ("unix:/run/a.sock", False),
        ("", False),
    ],
)
def test_the_address_of_a_proxy_is_in_a_network(peer: str, inside: bool) -> None:
    networks = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8::/32")]
    assert in_networks(peer, networks) is inside


def test_settings_of_client_certificates_are_checked(tmp_path: Path) -> None:
    pem = tmp_path / "pem"
    pem.write_text("")
    for name, text in {
        "CLIENT_CERTIFICATES": "spiffe://a=b",
        "CERTIFICATE_PROXIES": "localhost",
        "TLS_CLIENT_CA": "/nowhere",
    }.items():
        with pytest.raises(ConfigError, match=f"MEDIA_{name}"):
            load({f"MEDIA_{name}": text})
    with pytest.raises(ConfigError, match="MEDIA_TLS_CLIENT_PORT needs MEDIA_TLS_CERT"):
        load({"MEDIA_TLS_CLIENT_PORT": "1", "MEDIA_TLS_CLIENT_CA": str(pem)})
    account_id = new_id()
    config = load({"MEDIA_CLIENT_CERTIFICATES": f"spiffe://A/b?c=d={account_id},A.b={account_id}"})
    assert config.client_certificates == {"spiffe://A/b?c=d": account_id, "a.b": account_id}
