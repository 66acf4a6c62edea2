"""docker-compose.yml sets only settings that the service knows."""

import json
import re
import subprocess
from dataclasses import fields
from ipaddress import ip_address, ip_network
from pathlib import Path

import yaml

from media_service.cli.main import COMMANDS
from media_service.config import Config, variable
from media_service.storage.drivers.s3.location import parse_location

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"


def test_every_variable_is_a_setting() -> None:
    used = set(re.findall(r"MEDIA_[A-Z_]+", COMPOSE.read_text()))
    image = set(re.findall(r"MEDIA_[A-Z_]+", (ROOT / "Dockerfile").read_text()))
    assert used | image <= {variable(f.name) for f in fields(Config)}


def test_every_role_runs_a_command_of_the_service() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    for role in ("migrate", "server", "worker"):
        assert services[role]["command"][0] in COMMANDS
    assert "media-service envoy-config" in services["envoy"]["command"][0]


def test_all_stores_are_seaweedfs_buckets_that_compose_creates_first() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    made = set(
        re.findall(r"s3[.]bucket[.]create -name ([a-z-]+)", services["buckets"]["command"][0])
    )
    for role in ("server", "worker"):
        urls = re.findall(r":-(s3://[^}]+)}", " ".join(services[role]["environment"].values()))
        stores = [parse_location(url) for url in urls]
        assert len(stores) == 2
        assert {store.bucket for store in stores} == made
        for store in stores:
            assert store.endpoint == "http://seaweedfs:8333"
            assert store.path_style
        after = services[role]["depends_on"]["buckets"]["condition"]
        assert after == "service_completed_successfully"
    assert services["buckets"]["depends_on"]["seaweedfs"]["condition"] == "service_healthy"


def test_seaweedfs_and_the_service_have_the_same_keys(tmp_path: Path) -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    script = services["seaweedfs"]["command"][0].replace("$$", "$")
    writes, _, runs = script.partition("exec ")
    file = re.findall(r"> (/tmp/\S+)", writes)[0]
    assert f"-s3.config={file}" in runs
    keys = {"S3_ACCESS_KEY": "media", "S3_SECRET_KEY": "0123abcd"}
    assert keys.keys() <= services["seaweedfs"]["environment"].keys()
    mine = tmp_path / "s3.json"
    subprocess.run(["sh", "-ec", writes.replace(file, str(mine))], env=keys, check=True)
    (identity,) = json.loads(mine.read_text())["identities"]
    assert identity["credentials"] == [{"accessKey": "media", "secretKey": "0123abcd"}]
    assert mine.stat().st_mode & 0o077 == 0
    for role in ("server", "worker"):
        environ = services[role]["environment"]
        for name, key in (("ACCESS_KEY_ID", "ACCESS"), ("SECRET_ACCESS_KEY", "SECRET")):
            given = services["seaweedfs"]["environment"][f"S3_{key}_KEY"]
            assert environ[f"AWS_{name}"] == given


def test_the_server_believes_only_envoy_about_the_addresses_of_clients() -> None:
    text = re.sub(r"\$\{SUBNET:-([\d.]+)\}", r"\1", COMPOSE.read_text())
    compose = yaml.safe_load(text)
    believed = compose["services"]["server"]["environment"]["MEDIA_ENVOY_ADDRESSES"]
    assert believed == compose["services"]["envoy"]["networks"]["default"]["ipv4_address"]
    (network,) = compose["networks"]["default"]["ipam"]["config"]
    assert ip_address(believed) in ip_network(network["subnet"])
    assert ip_address(believed) not in ip_network(network["ip_range"])


def test_secrets_have_no_default() -> None:
    for secret in ("POSTGRES_PASSWORD", "MEDIA_JWT_SECRET", "S3_ACCESS_KEY", "S3_SECRET_KEY"):
        uses = re.findall(r"\$\{" + secret + r"(..)", COMPOSE.read_text())
        assert set(uses) == {":?"}


def test_each_process_gets_only_the_secrets_that_it_uses() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    database, stores = {"MEDIA_DATABASE_URL"}, {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    webhooks = {"MEDIA_WEBHOOK_KEYS"}
    expected = {
        "migrate": database,
        "server": database | stores | webhooks | {"MEDIA_JWT_SECRET"},
        "worker": database | stores | webhooks,
        "envoy": set(),
    }
    for role, secrets in expected.items():
        given = services[role].get("environment", {})
        assert {name for name, value in given.items() if ":?" in value} == secrets, role


def test_files_that_the_image_copies_exist_in_the_build_context() -> None:
    copied = re.findall(r"^COPY (?!--from)(\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    taken = re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert set(copied) == set(taken)
    assert all((ROOT / name).exists() for name in copied)
