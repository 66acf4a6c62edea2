"""Requests to receivers: where they may go, and how they are signed."""

import asyncio
import json
import ssl
import time
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography.x509 import DNSName

from media_service.ids import new_id
from media_service.webhooks import sender as sender_module
from media_service.webhooks.addresses import Destinations, NotAllowed
from media_service.webhooks.model import Answer
from media_service.webhooks.names import Names
from media_service.webhooks.secrets import SecretBox, SecretLost, new_secret, secret_text
from media_service.webhooks.sender import EXCERPT, READ_BYTES, Sender
from media_service.webhooks.signing import signed_headers
from tests.support.certificates import Authority
from tests.support.name_server import name_server
from tests.support.standard_webhooks import verified
from tests.support.webhook_receiver import receiver

PUBLIC = Destinations()
LOOPBACK = Destinations([ip_network("127.0.0.0/8")])


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "0.1.2.3", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
        *("100.64.0.1", "100.100.100.200", "198.18.0.1", "224.0.0.1", "240.0.0.1"),
        *("255.255.255.255", "192.0.2.1", "::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254"),
        *("ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1"),
        *("2002:7f00:1::", "2001:0:7f00:1::", "2001:db8::1", "::127.0.0.1"),
    ],
)
def test_an_address_that_is_not_of_the_public_internet_is_refused(address: str) -> None:
    assert not PUBLIC.allow(address, 443, encrypted=True)
    literal = f"[{address}]" if ":" in address else address
    with pytest.raises(NotAllowed):
        PUBLIC.check(f"https://{literal}/hook")


def test_public_addresses_are_allowed_on_safe_ports_with_encryption_only() -> None:
    for address in ("93.184.215.14", "2606:4700::1111"):
        assert PUBLIC.allow(address, 443, encrypted=True)
        assert PUBLIC.allow(address, 8443, encrypted=True)
        assert not PUBLIC.allow(address, 25, encrypted=True)
        assert not LOOPBACK.allow(address, 443, encrypted=False)
    assert LOOPBACK.allow("::ffff:127.0.0.1", 80, encrypted=False)
    assert not LOOPBACK.allow("10.0.0.1", 443, encrypted=True)


@pytest.mark.parametrize(
    "url",
    [
        *("", "hook", "//example.com", "ftp://example.com", "http://example.com", "https://"),
        *("https://user@example.com", "https://:secret@example.com", "https://example.com/#a"),
        *("https://example.com:22/", "https://example.com:99999/", "https://example.com/ a"),
        *("https://exämple.com/", f"https://example.com/{'a' * 2000}", "https://[::1"),
    ],
)
def test_a_url_that_could_do_harm_is_refused(url: str) -> None:
    with pytest.raises(NotAllowed):
        PUBLIC.check(url)


async def test_a_name_with_a_private_address_is_not_connected_to() -> None:
    """As numbers, too, which resolvers take for addresses."""
    async with receiver() as opened, Sender(PUBLIC) as sender:
        for host in ("localhost", "2130706433", "0x7f000001", "127.1", "127.0.0.1"):
            answer = await sender.post(f"https://{host}:{opened.port}/", {}, b"{}")
            assert (answer.status, answer.delivered) == (0, False), host
            assert answer.error
        assert not opened.received


async def test_the_address_that_was_checked_is_the_one_that_is_connected_to() -> None:
    """The name server answers with another address each time: rebinding."""
    here = Destinations([ip_network("127.0.0.1")])
    async with (
        receiver() as allowed,
        receiver(host="127.0.0.2", port=allowed.port) as forbidden,
        name_server(["127.0.0.1"], ["127.0.0.2"]) as server,
    ):
        url = f"http://hooks.example.com:{allowed.port}/"
        async with Sender(here, Names([server.address])) as sender:
            assert (await sender.post(url, {}, b"{}")).delivered
            assert server.asked == 1
        async with Sender(here, Names([server.address])) as sender:
            rebound = await sender.post(url, {}, b"{}")
            assert rebound.error.endswith("the name has no address that webhooks may reach]")
        server.answers = [["127.0.0.2", "127.0.0.1", "10.0.0.1"]]
        async with Sender(here, Names([server.address])) as sender:
            assert (await sender.post(url, {}, b"{}")).delivered
        assert (len(allowed.received), forbidden.received) == (2, [])


async def test_a_name_server_that_is_silent_delays_only_its_own_names() -> None:
    names = [f"{n}.silent.example" for n in range(100)]
    async with receiver() as opened, name_server(["127.0.0.1"]) as server:
        server.silent = set(names)
        async with Sender(LOOPBACK, Names([server.address])) as sender:

            async def post(name: str) -> Answer:
                return await sender.post(f"http://{name}:{opened.port}/", {}, b"{}")

            waiting = [asyncio.create_task(post(name)) for name in names]
            assert (await post("hooks.example.com")).delivered
            assert not any(task.done() for task in waiting)
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)


async def test_a_redirect_is_not_followed_and_a_long_answer_not_read() -> None:
    async with receiver() as opened, Sender(LOOPBACK) as sender:
        url = f"http://127.0.0.1:{opened.port}"
        opened.answers, opened.headers = [307], {"location": f"{url}/elsewhere"}
        answer = await sender.post(f"{url}/hook", {}, b"{}")
        assert (answer.status, answer.delivered) == (307, False)
        assert [each.path for each in opened.received] == ["/hook"]
        opened.text = b"\x1bno" + b"x" * 100 * READ_BYTES
        opened.answers = [410]
        answer = await sender.post(f"{url}/hook", {}, b"{}")
        assert answer.gone
        assert len(answer.excerpt) == EXCERPT
        assert answer.excerpt.startswith(" nox")


async def test_a_slow_receiver_is_given_up_and_its_connection_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sender_module, "TIMEOUT_SECONDS", 0.1)
    async with receiver() as opened, Sender(LOOPBACK) as sender:
        opened.held = {"/"}
        answer = await sender.post(f"http://127.0.0.1:{opened.port}/", {}, b"{}")
        assert (answer.status, answer.error) == (0, "no answer in time")
        assert len(opened.received) == 1


async def test_a_certificate_is_checked_for_its_name_and_its_authority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority.new(tmp_path)
    for name, trusted, status in (
        ("localhost", True, 204),
        ("localhost", False, 0),
        ("elsewhere.example", True, 0),
    ):
        pair = authority.issue("server", DNSName(name))
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(pair.certificate, pair.key)
        with monkeypatch.context() as patch:
            if trusted:
                patch.setenv("SSL_CERT_FILE", str(authority.certificate))
            async with receiver(tls) as opened, Sender(LOOPBACK) as sender:
                answer = await sender.post(f"https://localhost:{opened.port}/", {}, b"{}")
        assert answer.status == status, (name, trusted)
        assert answer.delivered or "certificate" in answer.error.lower()


async def test_the_standard_library_verifies_signatures_of_both_secrets() -> None:
    old, new = new_secret(), new_secret()
    body = json.dumps({"type": "media.created", "data": {"title": "Zürich"}}).encode()
    headers = signed_headers(new_id(), int(time.time()), body, [new, old])
    async with receiver() as opened, Sender(LOOPBACK) as sender:
        answer = await sender.post(f"http://localhost:{opened.port}/", headers, body)
    assert answer.delivered
    for secret in (old, new):
        assert verified(secret_text(secret), opened.received) == ["media.created"]
    assert verified(secret_text(new_secret()), opened.received) is None


def test_a_secret_opens_with_any_key_and_only_for_its_webhook() -> None:
    webhook_id, secret = new_id(), new_secret()
    sealed = SecretBox(["old"]).seal(webhook_id, secret)
    assert secret not in sealed.secret
    assert SecretBox(["new", "old"]).open(webhook_id, sealed) == (secret, None)
    assert sealed.key == SecretBox(["old", "new"]).key != SecretBox(["new", "old"]).key
    for box, of in ((SecretBox(["new"]), webhook_id), (SecretBox(["old"]), new_id())):
        with pytest.raises(SecretLost):
            box.open(of, sealed)
