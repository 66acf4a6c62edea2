"""Envoy's configuration follows from the settings and the contract."""

import json
import re
import subprocess
import sysconfig
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from media_service.cli.main import cli
from media_service.config import load
from media_service.envoy_config import (
    LUA,
    NOSNIFF,
    bindings,
    contract,
    path_regex,
    render,
    services,
)
from media_service.rpc.server_options import OPTIONS

UPSTREAMS = [("127.0.0.1", 50051)]
NONE: dict[str, Any] = {"filter_metadata": {LUA: {}}}


def rendered(upstreams: list[tuple[str, int]] = UPSTREAMS, **environ: str) -> dict[str, Any]:
    return parsed(render(load(environ), upstreams, "127.0.0.1"))


def parsed(text: str) -> dict[str, Any]:
    """The configuration, read by libyaml, which takes a tenth of the time of Python's parser."""
    config: dict[str, Any] = yaml.load(text, yaml.CSafeLoader)
    return config


def connection_manager(config: dict[str, Any]) -> dict[str, Any]:
    listener = config["static_resources"]["listeners"][0]
    manager: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return manager


def virtual_host(config: dict[str, Any]) -> dict[str, Any]:
    host: dict[str, Any] = connection_manager(config)["route_config"]["virtual_hosts"][0]
    return host


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    cert_file, key_file = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert_file.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    key_file.write_bytes(private)
    return {"MEDIA_TLS_CERT": str(cert_file), "MEDIA_TLS_KEY": str(key_file)}


def accepted_by_envoy(config: str, tmp_path: Path) -> None:
    file = tmp_path / "envoy.yaml"
    file.write_text(config)
    envoy = Path(sysconfig.get_path("scripts")) / "envoy"
    check = subprocess.run(
        [envoy, "--mode", "validate", "-c", file], capture_output=True, text=True, check=False
    )
    assert check.returncode == 0, check.stderr


def test_envoy_accepts_the_configuration_with_every_setting(
    tmp_path: Path, certificate: dict[str, str]
) -> None:
    config = load({**certificate, "MEDIA_CORS_ORIGINS": "https://app.example,*"})
    accepted_by_envoy(render(config, [("server-1", 1), ("server-2", 2)], "127.0.0.9"), tmp_path)


def test_envoy_accepts_the_configuration_with_no_setting(tmp_path: Path) -> None:
    accepted_by_envoy(render(load({}), UPSTREAMS, "127.0.0.1"), tmp_path)


def test_every_service_of_the_contract_is_served() -> None:
    filters = {f["name"]: f["typed_config"] for f in connection_manager(rendered())["http_filters"]}
    transcoder = filters["envoy.filters.http.grpc_json_transcoder"]
    assert transcoder["services"] == [f"mediaservice.v1.{s.name}" for s in services(contract())]
    assert "mediaservice.v1.UploadService" in transcoder["services"]


def test_every_path_refuses_unsupported_methods() -> None:
    refusals = {
        route["match"]["safe_regex"]["regex"]: route["response_headers_to_add"][0]["header"]
        for route in virtual_host(rendered())["routes"]
        if "direct_response" in route
    }
    assert refusals["/v1/media/[^/:]+"] == {"key": "allow", "value": "DELETE, GET, HEAD, PATCH"}
    assert refusals["/v1/media/[^/:]+/content"] == {"key": "allow", "value": "GET, HEAD"}
    assert set(refusals) == {path_regex(binding.template) for binding in bindings(contract())}


def test_path_templates_become_equivalent_regular_expressions() -> None:
    assert re.fullmatch(path_regex("/v1/media/{media_id}:purge"), "/v1/media/1:purge")
    assert not re.fullmatch(path_regex("/v1/media/{media_id}"), "/v1/media/1:purge")
    assert re.fullmatch(path_regex("/v1/public/{path=**}"), "/v1/public/a/b.jpg")


def test_cors_is_off_without_origins() -> None:
    host = virtual_host(rendered())
    assert host["typed_per_filter_config"] == {}
    assert host["response_headers_to_add"] == [NOSNIFF]


def test_origins_are_matched_exactly() -> None:
    host = virtual_host(rendered(MEDIA_CORS_ORIGINS="https://a.example, https://b.example"))
    policy = host["typed_per_filter_config"]["envoy.filters.http.cors"]
    assert policy["allow_origin_string_match"] == [
        {"exact": "https://a.example"},
        {"exact": "https://b.example"},
    ]


def test_an_origin_may_have_any_port() -> None:
    host = virtual_host(rendered(MEDIA_CORS_ORIGINS="http://[::1]:*,*"))
    policy = host["typed_per_filter_config"]["envoy.filters.http.cors"]
    port, every = (match["safe_regex"]["regex"] for match in policy["allow_origin_string_match"])
    assert re.fullmatch(port, "http://[::1]:3000")
    assert re.fullmatch(port, "http://[::1]")
    assert not re.fullmatch(port, "http://[::1].example")
    assert re.fullmatch(every, "null")


def test_every_link_ignores_unknown_parameters_and_nothing_else_does() -> None:
    known = {
        route["match"]["safe_regex"]["regex"]: for_lua["parameters"]
        for route in virtual_host(rendered())["routes"]
        if (for_lua := route.get("metadata", NONE)["filter_metadata"][LUA]).get("linked")
    }
    assert known == {
        "/v1/media/[^/:]+/content": ",attachment,rendition,version,",
        "/v1/media/[^/:]+/renditions/[^/:]+/content": ",attachment,version,",
        "/v1/media/[^/:]+/stream/.+": ",,",
        "/v1/public/.+": ",,",
        "/v1/signed/[^/:]+/.+": ",,",
        "/v1/signed/[^/:]+": ",,",
        "/v1/signedArchives/[^/:]+/.+": ",,",
    }


def test_envoy_pins_the_certificate_of_the_grpc_port(certificate: dict[str, str]) -> None:
    cluster = rendered(UPSTREAMS, **certificate)["static_resources"]["clusters"][0]
    tls = cluster["transport_socket"]["typed_config"]["common_tls_context"]
    assert len(tls["validation_context"]["verify_certificate_hash"][0]) == 64


def test_requests_are_distributed_over_all_servers() -> None:
    config = rendered([("server-1", 50051), ("server-2", 50052)])
    cluster = config["static_resources"]["clusters"][0]
    addresses = [
        endpoint["endpoint"]["address"]["socket_address"]
        for endpoint in cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    ]
    assert addresses == [
        {"address": "server-1", "port_value": 50051},
        {"address": "server-2", "port_value": 50052},
    ]


def test_envoy_opens_fewer_streams_on_a_connection_than_the_server_admits() -> None:
    """It sends the first ones before it knows the server's limit, which refuses those above it."""
    cluster = rendered()["static_resources"]["clusters"][0]
    (options,) = cluster["typed_extension_protocol_options"].values()
    streams = options["explicit_http_config"]["http2_protocol_options"]["max_concurrent_streams"]
    assert streams < dict(OPTIONS)["grpc.max_concurrent_streams"]


def test_downloads_and_json_bodies_that_rest_end_after_the_time_of_streams() -> None:
    routes = virtual_host(rendered(MEDIA_STREAM_TIMEOUT="100s"))["routes"]
    idle = {
        route["match"]["safe_regex"]["regex"]: route["route"]["idle_timeout"]
        for route in routes
        if "idle_timeout" in route.get("route", {})
    }
    assert idle["/v1/media/[^/:]+/content"] == idle["/v1/uploads"] == "125s"
    assert "/v1/media:upload" not in idle


def test_the_configuration_has_no_secret_and_no_admin_port() -> None:
    secret = "s" * 40
    text = json.dumps(rendered(MEDIA_JWT_SECRET=secret))
    assert secret not in text
    assert "admin" not in rendered()


def test_the_descriptors_carry_no_comments() -> None:
    files: FileDescriptorSet = contract()
    assert not any(file.HasField("source_code_info") for file in files.file)


def test_the_command_prints_the_configuration_that_envoy_reads() -> None:
    result = CliRunner(env={"MEDIA_REST_PORT": "9000"}).invoke(
        cli, ["envoy-config", "--upstream", "server:50051", "--listen", "127.0.0.9"]
    )
    assert result.exit_code == 0
    listener = parsed(result.stdout)["static_resources"]["listeners"][0]
    assert listener["address"]["socket_address"] == {"address": "127.0.0.9", "port_value": 9000}


@pytest.mark.parametrize("upstream", ["server", "server:0", "server:99999", ":50051", "a b:1"])
def test_an_upstream_must_be_host_and_port(upstream: str) -> None:
    result = CliRunner().invoke(cli, ["envoy-config", "--upstream", upstream])
    assert result.exit_code == 2
    assert "is not host:port" in result.stderr
