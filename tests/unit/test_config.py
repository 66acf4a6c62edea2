"""Settings from the environment: their allowed values, and the errors about others."""

from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media_service.cli.settings_list import GROUPS, describe
from media_service.config import Config, ConfigError, load, variable
from media_service.rates.model import Rate


def test_every_setting_is_optional() -> None:
    config = load({})
    assert (config.grpc_port, config.rest_port) == (50051, 8080)
    assert config.host == "127.0.0.1"
    assert config.data_dir == Path(".data").absolute()
    assert config.rest_url == "http://localhost:8080"
    assert config.raw_url == f"file://{Path('.data/raw').absolute()}"
    assert config.public_store_url == f"file://{Path('.data/public').absolute()}"
    assert config.public_base_url == "http://localhost:8080/v1/public"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("max_upload_size", "500", 500),
        ("max_upload_size", "64MiB", 64 << 20),
        ("max_upload_size", "64 mb", 64 << 20),
        ("max_upload_size", "2t", 2 << 40),
        ("upload_expiry", "30s", timedelta(seconds=30)),
        ("upload_expiry", "10m", timedelta(minutes=10)),
        ("upload_expiry", "24H", timedelta(hours=24)),
        ("purge_after", "7d", timedelta(days=7)),
        ("keep_ended_uploads", "48h", timedelta(days=2)),
        ("grpc_port", "1", 1),
        ("grpc_port", "65535", 65535),
        ("grpc_port", " 9000 ", 9000),
        ("grpc_port", "", 50051),
        ("max_streams", "", None),
        ("max_streams", "20", 20),
        ("host", "::1", "::1"),
        ("log_level", "debug", "DEBUG"),
        ("allowed_types", "image/*, Video/MP4", ("image/*", "video/mp4")),
        ("cors_origins", "https://a.example, https://b.example", 2),
        ("public_url", "https://media.example.com/", "https://media.example.com"),
        ("storage_raw_url", "memory://", "memory://"),
        ("storage_public_url", "s3://media/public", "s3://media/public"),
        ("cdn_base_url", "https://cdn.example/media/", "https://cdn.example/media"),
        ("storage_raw_url", "s3://media/a?region=b", "s3://media/a?region=b"),
        ("storage_raw_url", "file:///var/lib/media", "file:///var/lib/media"),
        ("database_url", "postgresql://user@host/media", "postgresql://user@host/media"),
        ("jwt_secret", "x" * 32, "x" * 32),
        ("link_keys", "x" * 32 + ", " + "y" * 40, ("x" * 32, "y" * 40)),
        ("link_keys", "", ()),
        ("rate_caller", "100/s", Rate(100, 1)),
        ("rate_store", "valkeys://:word@cache:6379/1", "valkeys://:word@cache:6379/1"),
        ("rabbitmq_url", "amqps://a:word@mq:5671/v", "amqps://a:word@mq:5671/v"),
        ("rate_address", "5000/M", Rate(5000, 60)),
        ("rate_address", "Off", None),
    ],
)
def test_a_valid_value_is_read(name: str, text: str, value: object) -> None:
    found = getattr(load({variable(name): text}), name)
    assert (len(found) if name == "cors_origins" else found) == value


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("grpc_port", "0", "a whole number from 1 to 65535"),
        ("grpc_port", "65536", "a whole number from 1 to 65535"),
        ("grpc_port", "-1", "a whole number from 1 to 65535"),
        ("rest_port", "http", "a whole number from 1 to 65535"),
        ("rest_port", "9" * 5000, "a whole number from 1 to 65535"),
        ("database_pool_size", "1", "a whole number from 2 to 500"),
        ("worker_slots", "2.5", "a whole number from 1 to 64"),
        ("max_pixels", "0", "a whole number from 1 to"),
        ("max_upload_size", "-5", "a number of bytes such as"),
        ("max_upload_size", "1.5GiB", "a number of bytes such as"),
        ("max_upload_size", "9" * 5000, "a number of bytes such as"),
        ("max_upload_size", "many", "a number of bytes such as"),
        ("upload_expiry", "7", "a duration such as"),
        ("upload_expiry", "7w", "a duration such as"),
        ("purge_after", "99999999999999999d", "a duration such as"),
        ("stream_timeout", "-1s", "a duration such as"),
        ("keep_ended_uploads", "1d", "a duration of at least 2d, such as 7d"),
        ("data_dir", "~nobody-has-this-name/data", "a user of this machine"),
        ("host", "localhost", "an IP address"),
        ("host", "127.0.0.1:80", "an IP address"),
        ("jwt_secret", "short", "at least 32 bytes"),
        ("max_streams", "0", "a whole number from 1 to 1000000"),
        ("scan", "on", "off or report or required"),
        ("scan_too_large", "deny", "hold or allow"),
        ("link_keys", "x" * 32 + ",short", "keys of at least 32 bytes each"),
        ("jwt_jwks", "keys.json", "https:// or http:// or file://"),
        ("jwt_jwks", "file://keys.json", "an absolute path"),
        ("tls_cert", "/nowhere/cert.pem", "an existing file"),
        ("tls_key", "/", "an existing file"),
        ("tls_key", "\0", "an existing file"),
        ("database_url", "mysql://host/media", "postgresql:// or postgres://"),
        ("database_url", "postgresql:host", "postgresql:// or postgres://"),
        ("storage_raw_url", "/var/lib/media", "a URL such as file:///var/lib/media"),
        ("storage_public_url", "/var/lib/media", "a URL such as file:///var/lib/media"),
        ("cdn_base_url", "cdn.example", "http:// or https://"),
        ("public_url", "media.example.com", "http:// or https://"),
        ("public_url", "http:media.example.com", "http:// or https://"),
        ("allowed_types", "images", "types such as image/*"),
        ("allowed_types", "image/", "types such as image/*"),
        ("allowed_types", "*/*", "types such as image/*"),
        ("allowed_types", ",", "types such as image/*"),
        ("rate_caller", "100", "a rate such as 100/s"),
        ("rate_caller", "0/s", "a rate such as 100/s"),
        ("rate_store", "cache:6379", "redis:// or rediss:// or valkey://"),
        ("rabbitmq_url", "http://mq:5672", "amqp:// or amqps://"),
        ("jobs_transport", "redis", "notify or rabbitmq"),
        ("rate_address", "10/d", "6000/m or 100000/h, or off"),
        ("log_level", "LOUD", "DEBUG, INFO, WARNING, ERROR"),
    ],
)
def test_an_invalid_value_names_its_variable_and_the_allowed_values(
    name: str, text: str, allowed: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load({variable(name): text})
    message = str(caught.value)
    assert message.startswith(variable(name))
    assert allowed in message


def test_a_transport_over_rabbitmq_needs_its_url() -> None:
    with pytest.raises(ConfigError, match=r"^MEDIA_RABBITMQ_URL must be set"):
        load({"MEDIA_JOBS_TRANSPORT": "rabbitmq"})


@pytest.mark.parametrize("name", ["MEDIA_GRCP_PORT", "MEDIA_", "MEDIA_grpc_port"])
def test_an_unknown_variable_prevents_startup(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name} is not a setting"):
        load({name: "1"})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MEDIA_GRCP_PORT", "MEDIA_GRPC_PORT"),
        ("MEDIA_ADRESS", "MEDIA_ADDRESS"),
        ("MEDIA_ALLOWED_TYPE", "MEDIA_ALLOWED_TYPES"),
    ],
)
def test_an_unknown_variable_is_reported_with_the_nearest_name(name: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"Did you mean {meant}\\?"):
        load({name: "1"})


def test_variables_without_the_prefix_are_ignored() -> None:
    assert load({"PATH": "/bin", "MEDIAN": "3"}) == load({})


@settings(max_examples=300)
@given(st.sampled_from([f.name for f in fields(Config)]), st.text(max_size=40))
def test_any_value_is_accepted_or_named_in_an_error(name: str, text: str) -> None:
    try:
        load({variable(name): text})
    except ConfigError as error:
        assert variable(name) in str(error)  # noqa: PT017


def test_an_invalid_secret_is_not_repeated_in_the_error() -> None:
    for name in ("jwt_secret", "database_url"):
        with pytest.raises(ConfigError) as caught:
            load({variable(name): "hush://hush"})
        assert "hush" not in str(caught.value)


@pytest.mark.parametrize("mode", ["report", "required"])
def test_scans_need_the_address_of_an_engine(mode: str) -> None:
    with pytest.raises(
        ConfigError, match=f"MEDIA_SCAN_ADDRESS must be set if MEDIA_SCAN is {mode}"
    ):
        load({"MEDIA_SCAN": mode})
    assert load({"MEDIA_SCAN": mode, "MEDIA_SCAN_ADDRESS": "clamd://host"}).scan == mode


def test_certificate_and_key_must_be_set_together(tmp_path: Path) -> None:
    (tmp_path / "pem").write_text("")
    with pytest.raises(ConfigError, match="MEDIA_TLS_CERT and MEDIA_TLS_KEY"):
        load({"MEDIA_TLS_CERT": str(tmp_path / "pem")})
    both = {"MEDIA_TLS_CERT": str(tmp_path / "pem"), "MEDIA_TLS_KEY": str(tmp_path / "pem")}
    assert load(both).rest_url == "https://localhost:8080"


@pytest.mark.parametrize("name", ["plain", "with space", "100%", "a#b", "a?b", "größe"])
def test_the_raw_store_is_in_any_configured_data_directory(tmp_path: Path, name: str) -> None:
    config = load({"MEDIA_DATA_DIR": str(tmp_path / name)})
    assert Path(url2pathname(urlsplit(config.raw_url).path)) == tmp_path / name / "raw"


def test_a_public_url_overrides_the_port() -> None:
    config = load({"MEDIA_PUBLIC_URL": "https://m.example/base/", "MEDIA_REST_PORT": "9"})
    assert config.rest_url == "https://m.example/base"


def test_secrets_are_masked_and_the_rest_is_shown() -> None:
    config = load(
        {
            "MEDIA_JWT_SECRET": "hush" * 8,
            "MEDIA_DATABASE_URL": "postgresql://user:hush@host/media",
            "MEDIA_CORS_ORIGINS": "https://a.example,https://b.example",
            "MEDIA_UPLOAD_EXPIRY": "2h",
        }
    )
    rows = {each.name: each.value for each in describe(config)}
    assert set(rows) == {variable(f.name) for f in fields(Config)}
    assert "hush" not in str(rows)
    assert rows["MEDIA_JWT_SECRET"] == rows["MEDIA_DATABASE_URL"] == "********"
    assert rows["MEDIA_CORS_ORIGINS"] == "https://a.example,https://b.example"
    assert rows["MEDIA_UPLOAD_EXPIRY"] == "2h"
    assert rows["MEDIA_MAX_UPLOAD_SIZE"] == "50GiB"
    assert rows["MEDIA_STREAM_TIMEOUT"] == "1m"
    assert rows["MEDIA_TLS_CERT"] == ""
    assert all(each.meaning for each in describe(config))


def test_settings_are_listed_in_groups() -> None:
    groups = [each.group for each in describe(load({}))]
    assert list(dict.fromkeys(groups)) == list(GROUPS.values())
    assert sorted(groups, key=list(GROUPS.values()).index) == groups


def test_a_listed_value_can_be_set() -> None:
    config = load(
        {
            "MEDIA_MAX_UPLOAD_SIZE": "1500k",
            "MEDIA_PURGE_AFTER": "90m",
            "MEDIA_RATE_CALLER": "100/s",
            "MEDIA_RATE_ADDRESS": "off",
        }
    )
    listed = {each.name: each.value for each in describe(config)}
    assert load(listed) == config


def test_an_unset_secret_is_not_masked() -> None:
    rows = {each.name: each.value for each in describe(load({}))}
    assert rows["MEDIA_JWT_SECRET"] == ""
