"""docker-compose.yml sets only what the service knows."""

import re
from dataclasses import fields
from pathlib import Path

import yaml

from media_service.cli.main import COMMANDS
from media_service.config import Config, variable

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


def test_secrets_have_no_default() -> None:
    for secret in ("POSTGRES_PASSWORD", "MEDIA_JWT_SECRET"):
        uses = re.findall(r"\$\{" + secret + r"(..)", COMPOSE.read_text())
        assert set(uses) == {":?"}


def test_what_the_image_copies_exists_and_is_in_the_context() -> None:
    copied = re.findall(r"^COPY (?!--from)(\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    taken = re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert set(copied) == set(taken)
    assert all((ROOT / name).exists() for name in copied)
