"""The settings, read from environment variables with the prefix `MEDIA_`.

An invalid value stops the start with an error that names the variable and the allowed values.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

from media_service.failpoints import VARIABLE
from media_service.issuers import AdminClaim, Issuer, parse_issuers
from media_service.nearest import nearest
from media_service.rates.model import SECONDS, Rate

PREFIX = "MEDIA_"
SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
# Variables of clients (address and token) and of tests.
NOT_SETTINGS = {"MEDIA_ADDRESS", "MEDIA_TOKEN", VARIABLE}
REQUIRED, DEGRADED = "required", "degraded"
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
HINT, STRICT = "hint", "strict"
MASK = "********"
# Of a value in an error.
MAX_SHOWN = 200
REPORT = "report"
ALLOW, HOLD = "allow", "hold"
CLOSED, OPEN = "closed", "open"
DURATION_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
OFF = "off"
NOTIFY, RABBITMQ = "notify", "rabbitmq"


class ConfigError(Exception):
    """A setting is invalid. The message names it and the allowed values."""


def integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"-?\d{1,18}", text) or not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)

    return parse


def integer_or_none(low: int, high: int) -> Callable[[str], int | None]:
    parse = integer(low, high)
    return lambda text: parse(text) if text else None


def size(text: str) -> int:
    match = re.fullmatch(r"([1-9]\d{0,17})\s*([kmgt]?)(?:i?b)?", text.lower())
    if not match:
        raise ValueError("a number of bytes such as 500, 64MiB or 50GiB")
    return int(match[1]) * SIZES[match[2]]


def duration(text: str) -> timedelta:
    match = re.fullmatch(r"([1-9]\d{0,5})([smhd])", text.lower())
    if not match:
        raise ValueError("a duration such as 30s, 10m, 24h or 7d")
    return timedelta(seconds=int(match[1]) * DURATION_UNITS[match[2]])


def duration_of_at_least(shortest: str) -> Callable[[str], timedelta]:
    def parse(text: str) -> timedelta:
        if (found := duration(text)) < duration(shortest):
            raise ValueError(f"a duration of at least {shortest}, such as 7d")
        return found

    return parse


def rate(text: str) -> Rate | None:
    if text.lower() == OFF:
        return None
    match = re.fullmatch(r"([1-9]\d{0,8})/([smh])", text.lower())
    if not match:
        raise ValueError(f"a rate such as 100/s, 6000/m or 100000/h, or {OFF}")
    return Rate(int(match[1]), SECONDS[match[2]])


def path(text: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise ValueError("a path in which ~ refers to a user of this machine") from None


def existing_file(text: str) -> Path | None:
    if text and not path(text).is_file():
        raise ValueError("the path of an existing file")
    return path(text) if text else None


def types(text: str) -> tuple[str, ...]:
    patterns = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    if not patterns or not all(
        re.fullmatch(r"[a-z0-9.+-]+/(\*|[a-z0-9.+-]+)", p) for p in patterns
    ):
        raise ValueError("a comma-separated list of types such as image/*,video/mp4")
    return patterns


def sides(text: str) -> Mapping[str, int]:
    pairs = [part.strip().partition("=") for part in text.split(",")]
    found = {name.strip(): side.strip() for name, _, side in pairs}
    if len(found) < len(pairs) or not all(
        re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", name)
        and re.fullmatch(r"\d{1,4}", side)
        and 16 <= int(side) <= 4096
        for name, side in found.items()
    ):
        raise ValueError(
            "a comma-separated list of name=longest side, 16 to 4096 pixels,"
            " such as small=160,large=1600"
        )
    return {name: int(side) for name, side in found.items()}


def presets(text: str) -> Mapping[str, str]:
    if text == "-":
        return {}
    pairs = [part.strip().partition("=") for part in text.split(";")]
    found = {name.strip(): pipeline.strip() for name, _, pipeline in pairs}
    if len(found) < len(pairs) or not all(
        re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", name) and pipeline
        for name, pipeline in found.items()
    ):
        raise ValueError(
            "a semicolon-separated list of name=pipeline, such as"
            " poster=frame:5,resize:800x;stream=stream, or - for none"
        )
    return found


def profiles(text: str) -> Mapping[int, int]:
    pairs = [part.strip().split("=") for part in text.split(",")]
    found = {int(p[0]): int(p[1]) for p in pairs if len(p) == 2 and all(x.isdigit() for x in p)}
    if len(found) < len(pairs) or not all(
        144 <= side <= 4320 and 50 <= kbps <= 200_000 for side, kbps in found.items()
    ):
        raise ValueError(
            "a comma-separated list of side=bit rate, 144 to 4320 pixels and 50 to 200000 kbit/s,"
            " such as 480=1400,720=2800"
        )
    return found


def words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(word) for word in words(text))
    except ValueError:
        raise ValueError(
            "comma-separated IP addresses and networks such as 10.0.0.0/8,::1"
        ) from None


def certificate_names(text: str) -> Mapping[str, str]:
    pairs = [part.rpartition("=") for part in words(text)]
    found = {name.strip(): account.strip().lower() for name, _, account in pairs}
    if len(found) < len(pairs) or not all(
        name and re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", account)
        for name, account in found.items()
    ):
        raise ValueError(
            "a comma-separated list of name=id of a service account, where the name is a URI or a"
            " DNS name of the certificate"
        )
    return {name if "://" in name else name.lower(): id_ for name, id_ in found.items()}


def host(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("an IP address to listen on, such as 127.0.0.1 or 0.0.0.0") from None


def secret(text: str) -> str:
    if text and len(text.encode()) < 32:
        raise ValueError("at least 32 bytes")
    return text


def secrets(text: str) -> tuple[str, ...]:
    found = words(text)
    if any(len(key.encode()) < 32 for key in found):
        raise ValueError("keys of at least 32 bytes each, separated by commas")
    return found


def level(text: str) -> str:
    if text.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise ValueError("one of DEBUG, INFO, WARNING, ERROR")
    return text.upper()


def one_of(*values: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in values:
            raise ValueError(" or ".join(values))
        return text

    return parse


def url(*schemes: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        scheme, separator, rest = text.partition("://")
        if text and (scheme not in schemes or not separator):
            raise ValueError(f"a URL that begins with {' or '.join(f'{s}://' for s in schemes)}")
        if scheme == "file" and not rest.startswith("/"):
            raise ValueError("a file URL with an absolute path, such as file:///etc/keys.json")
        if scheme in {"http", "https"} and "@" in re.split("[/?#]", rest)[0]:
            raise ValueError("a URL without a user name and password")
        return text.rstrip("/") if scheme in {"http", "https"} else text

    return parse


def store_url(text: str) -> str:
    if text and "://" not in text:
        raise ValueError("a URL such as file:///var/lib/media or s3://bucket/prefix")
    return text  # the drivers check the rest


def without_password(text: str) -> str:
    """The text without what URLs in it have before an `@`, for errors and lists of settings. A
    password may have any character."""
    return re.sub(r"://[^\s\"']*@", f"://{MASK}@", text)


def setting(default: str, parse: Callable[[str], Any], about: str, *, masked: bool = False) -> Any:
    return field(metadata={"default": default, "parse": parse, "about": about, "masked": masked})


@dataclass(frozen=True, kw_only=True)
class Config:
    """The effective settings. The field `grpc_port` is the variable `MEDIA_GRPC_PORT`."""

    data_dir: Path = setting(".data", path, "directory of local data")
    database_url: str = setting(
        "",
        url("postgresql", "postgres"),
        "URL of PostgreSQL; empty: an embedded one in the data directory",
        masked=True,
    )
    database_pool_size: int = setting(
        "16",
        integer(2, 500),
        "connections per process; transactions use at most three quarters, receiving bytes half",
    )
    database_timeout: timedelta = setting(
        "8s",
        duration,
        "time limit of a statement, after which a silent database counts as unavailable",
    )
    storage_raw_url: str = setting(
        "",
        store_url,
        "store of the originals: file:///path, s3://bucket/prefix?endpoint=…&region=… or"
        " gs://bucket/prefix; empty: in the data directory",
    )
    storage_public_url: str = setting(
        "",
        store_url,
        "store of the renditions of public media, which must not overlap with"
        " MEDIA_STORAGE_RAW_URL; empty: in the data directory",
    )
    cdn_base_url: str = setting(
        "",
        url("http", "https"),
        "base URL of a CDN that serves the public store; empty: the REST port serves it",
    )
    cdn_purge: str = setting(
        "",
        str,
        "what removes changed media from a CDN or a cache in front of the REST port:"
        " fastly:SERVICE, cloudflare:ZONE, bunny:PULLZONE, varnish+http://HOST:PORT (several"
        " separated by commas), or a URL that takes the keys as JSON; empty: nothing",
    )
    cdn_token: str = setting("", str, "token of the API of MEDIA_CDN_PURGE", masked=True)
    host: str = setting("127.0.0.1", host, "IP address to listen on")
    grpc_port: int = setting("50051", integer(1, 65535), "gRPC port")
    rest_port: int = setting("8080", integer(1, 65535), "REST port (Envoy)")
    envoy_memory: int = setting(
        "512MiB",
        size,
        "memory of Envoy; near it, the streams that hold the most end, then requests are refused",
    )
    public_url: str = setting(
        "",
        url("http", "https"),
        "URL by which clients reach the REST port; empty: http://localhost:PORT",
    )
    tls_cert: Path | None = setting("", existing_file, "certificate chain (PEM); turns on TLS")
    tls_key: Path | None = setting("", existing_file, "private key (PEM) of the certificate")
    tls_client_ca: Path | None = setting(
        "",
        existing_file,
        "certificate authorities (PEM) of client certificates, which REST accepts as well",
    )
    tls_client_port: int | None = setting(
        "",
        integer_or_none(1, 65535),
        "gRPC port on which clients need a certificate of MEDIA_TLS_CLIENT_CA; empty: none",
    )
    client_certificates: Mapping[str, str] = setting(
        "",
        certificate_names,
        "service accounts of client certificates, as URI or DNS name=id, comma-separated",
    )
    certificate_proxies: tuple[Network, ...] = setting(
        "",
        networks,
        "proxies whose x-forwarded-client-cert is believed, as comma-separated addresses and"
        " networks; empty: none",
    )
    envoy_addresses: tuple[Network, ...] = setting(
        "127.0.0.0/8,::1",
        networks,
        "addresses and networks of Envoy, comma-separated: only Envoy is believed when it names the"
        " address of a client; this machine, unless Envoy runs elsewhere",
    )
    jwt_secret: str = setting(
        "", secret, "HS256 key of access tokens, at least 32 bytes", masked=True
    )
    jwt_jwks: str = setting(
        "", url("https", "http", "file"), "URL of the JWKS for RS256, ES256 and EdDSA tokens"
    )
    jwt_issuer: str = setting("", str, "required `iss` of tokens; empty: any")
    jwt_audience: str = setting("", str, "required `aud` of tokens; empty: none")
    jwt_issuers: tuple[Issuer, ...] = setting(
        "",
        parse_issuers,
        "other issuers of tokens, in JSON or TOML, or the path of a file with them",
    )
    admin_claim: AdminClaim | None = setting(
        "",
        AdminClaim.parse,
        "claim that makes an administrator, as [ISSUER ]CLAIM=VALUE; empty: no claim does",
    )
    link_keys: tuple[str, ...] = setting(
        "",
        secrets,
        "keys of links, comma-separated, at least 32 bytes each: the first one signs, all are"
        " accepted; empty: a key derived from MEDIA_JWT_SECRET",
        masked=True,
    )
    cors_origins: tuple[str, ...] = setting(
        "",
        words,
        "origins whose pages may call REST, comma-separated; `:*` at the end: on any port; *: all;"
        " empty: none, and with `dev` those of localhost",
    )
    rate_caller: Rate | None = setting(
        "120000/m",
        rate,
        "units of calls of one caller, all of which may be used at once; off: unlimited",
    )
    rate_address: Rate | None = setting(
        "60000/m",
        rate,
        "units of calls without a token, or with one that was not used before, of one client"
        " address; off: unlimited",
    )
    rate_store: str = setting(
        "",
        url("redis", "rediss", "valkey", "valkeys"),
        "URL of Valkey or Redis, with which all servers share the rates of callers and addresses;"
        " empty: each server counts alone",
        masked=True,
    )
    rate_gateway: Rate | None = setting(
        "240000/m",
        rate,
        "requests of one client address that Envoy passes on; off: unlimited",
    )
    trusted_proxies: int = setting(
        "0",
        integer(0, 10),
        "proxies in front of Envoy, whose `X-Forwarded-For` tells the client's address",
    )
    max_upload_size: int = setting("50GiB", size, "largest accepted file")
    max_pixels: int = setting("268435456", integer(1, 1 << 40), "largest accepted image, in pixels")
    allowed_types: tuple[str, ...] = setting(
        "image/*,video/*,audio/*,application/pdf",
        types,
        "accepted content types; image/*, video/* and audio/*: those in docs/formats.md",
    )
    declared_types: str = setting(
        HINT,
        one_of(HINT, STRICT),
        "hint: a file may be of another type than declared, of the same kind; strict: it may not",
    )
    events_redis: str = setting(
        "",
        url("redis", "rediss", "valkey", "valkeys"),
        "URL of Valkey or Redis whose channels (Pub/Sub) get all events, and photo:uploaded and"
        " photo:deleted; empty: none",
        masked=True,
    )
    events_redis_streams: str = setting(
        "",
        url("redis", "rediss", "valkey", "valkeys"),
        "URL of Valkey or Redis whose stream media:events gets all events; empty: none",
        masked=True,
    )
    cache_redis: str = setting(
        "",
        url("redis", "rediss", "valkey", "valkeys"),
        "URL of Valkey or Redis through which the renditions of media are read; empty: from"
        " PostgreSQL. Servers and workers need it",
        masked=True,
    )
    keep_events: timedelta = setting(
        "7d",
        duration_of_at_least("1h"),
        "how long events are kept for consumers that read them by cursor, and for sinks: also of"
        " those that were not in use for so long",
    )
    upload_expiry: timedelta = setting(
        "7d", duration, "how long an unfinished upload may be idle before it expires"
    )
    # At least twice as long as idempotency keys are kept, which name uploads.
    keep_ended_uploads: timedelta = setting(
        "7d",
        duration_of_at_least("2d"),
        "how long an upload that has ended can be read, before its row and its file name are"
        " removed; its media is not affected",
    )
    purge_after: timedelta = setting(
        "30d", duration, "how long a deleted media can be restored before it is purged"
    )
    keep_audit: timedelta = setting(
        "365d",
        duration_of_at_least("2d"),
        "how long the audit log is kept, and the statistics that are made from it",
    )
    keep_audit_addresses: timedelta = setting(
        "30d",
        duration_of_at_least("2d"),
        "how long the audit log keeps the address and the program of a client",
    )
    stream_timeout: timedelta = setting(
        "60s",
        duration,
        "time in which an upload stream must send 1 KiB, and a reader take 128 KiB; slower ones are"
        " closed",
    )
    max_streams: int | None = setting(
        "",
        integer_or_none(1, 1_000_000),
        "concurrent upload streams and parts of a server process; empty: 10000 on a local disk"
        " (one open file each), 100 on an object store (up to 40 MiB of memory each)",
    )
    max_open_uploads: int = setting(
        "20000",
        integer(1, 10_000_000),
        "unfinished uploads of an owner, whether bytes arrive or not",
    )
    render_children: int | None = setting(
        "",
        integer_or_none(1, 256),
        "concurrent renders of a server process, each in a child process; empty: one per core",
    )
    thumbnails: Mapping[str, int] = setting(
        "small=160,medium=640,large=1600",
        sides,
        "thumbnails of every image, as name=longest side in pixels",
    )
    video_presets: Mapping[str, str] = setting(
        "stream=stream;poster=frame;storyboard=storyboard;preview=preview",
        presets,
        "renditions of every video, as name=pipeline, separated by semicolons",
    )
    audio_presets: Mapping[str, str] = setting(
        "waveform=waveform", presets, "renditions of every audio file, as MEDIA_VIDEO_PRESETS"
    )
    document_presets: Mapping[str, str] = setting(
        "preview=page", presets, "renditions of every document, as MEDIA_VIDEO_PRESETS"
    )
    video_profiles: Mapping[int, int] = setting(
        "240=400,360=800,480=1400,720=2800,1080=5000,1440=9000,2160=16000",
        profiles,
        "rungs of streams, as shorter side in pixels=maximum bit rate in kbit/s",
    )
    encode_threads: int = setting("0", integer(0, 64), "threads per video encoder; 0: one per core")
    scan: str = setting(
        OFF,
        one_of(OFF, REPORT, REQUIRED),
        "virus scans: off; report: files are scanned, and served whatever is found; required: files"
        " are served, and opened, only after their scan, and infected ones are put in quarantine",
    )
    scan_address: str = setting(
        "",
        str,  # the engine checks it
        "scan engine: clamd://host:3310 or clamd:///path/of/socket; needed unless MEDIA_SCAN=off",
    )
    scan_too_large: str = setting(
        HOLD,
        one_of(HOLD, ALLOW),
        "if scans are required, files that are too large to scan: hold: in quarantine; allow: they"
        " are served",
    )
    scan_failure: str = setting(
        CLOSED,
        one_of(CLOSED, OPEN),
        "if scans are required, files that cannot be scanned: closed: they wait until they can;"
        " open: they are served after half a minute, and scanned later",
    )
    events_rabbitmq: str = setting(
        "",
        url("amqp", "amqps"),
        "URL of RabbitMQ, to whose topic exchange `media.events` events are published by their"
        " types; empty: none",
        masked=True,
    )
    jobs_transport: str = setting(
        NOTIFY,
        one_of(NOTIFY, RABBITMQ),
        "how workers learn that jobs wait: notify: by LISTEN/NOTIFY; rabbitmq: by messages of"
        " MEDIA_RABBITMQ_URL, for all servers and workers",
    )
    rabbitmq_url: str = setting(
        "",
        url("amqp", "amqps"),
        "URL of RabbitMQ: amqps://user:password@host:5671/vhost; needed if MEDIA_JOBS_TRANSPORT is"
        " rabbitmq, or MEDIA_FOREIGN_OPERATIONS is set",
        masked=True,
    )
    foreign_operations: tuple[str, ...] = setting(
        "",
        words,
        "operations that foreign workers do, comma-separated: jobs with one of them go to the queue"
        " media.process of MEDIA_RABBITMQ_URL; empty: none",
    )
    webhook_keys: tuple[str, ...] = setting(
        "",
        secrets,
        "keys that encrypt the secrets of webhooks, comma-separated, at least 32 bytes each, for"
        " servers and workers: the first one encrypts, all decrypt; empty: the keys of links",
        masked=True,
    )
    webhooks_private: tuple[Network, ...] = setting(
        "",
        networks,
        "networks that webhooks may reach besides the public internet, comma-separated, also with"
        " http and on every port; empty: none",
    )
    worker_slots: int = setting("2", integer(1, 64), "concurrent jobs of a worker process")
    sandbox: str = setting(
        REQUIRED,
        one_of(REQUIRED, DEGRADED),
        "on a machine that lacks a part of the sandbox of media files: required: `serve` and `work`"
        " do not start; degraded: they start and warn, as `dev` does unless this is set",
    )
    drain_seconds: int = setting(
        "2",
        integer(0, 600),
        "how long a server that stops goes on serving, while load balancers see that it is not"
        " ready",
    )
    worker_health_port: int | None = setting(
        "",
        integer_or_none(1, 65535),
        "port on which a worker answers grpc.health.v1; empty: none",
    )
    log_level: str = setting("INFO", level, "DEBUG, INFO, WARNING or ERROR")

    @property
    def event_sinks(self) -> Mapping[str, str]:
        """The URLs of the sinks that are in use, by the names of their modules."""
        prefix = "events_"
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name.startswith(prefix)}
        return {name.removeprefix(prefix): url for name, url in found.items() if url}

    @property
    def rest_url(self) -> str:
        """The base of every link, without a trailing slash."""
        if self.public_url:
            return self.public_url
        return f"{'https' if self.tls_cert else 'http'}://localhost:{self.rest_port}"

    @property
    def raw_url(self) -> str:
        return self.storage_raw_url or (self.data_dir / "raw").as_uri()

    @property
    def public_store_url(self) -> str:
        return self.storage_public_url or (self.data_dir / "public").as_uri()

    @property
    def public_base_url(self) -> str:
        """The base of the URLs of public renditions, without a trailing slash."""
        return self.cdn_base_url or f"{self.rest_url}/v1/public"


def variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}"


def unknown_names(environ: Mapping[str, str]) -> Mapping[str, str]:
    """The names of variables that look like settings and are none, with a sentence that says so and
    names the setting that was probably meant."""
    known = {variable(f.name) for f in fields(Config)} | NOT_SETTINGS
    names = [name.removeprefix(PREFIX) for name in known - {VARIABLE}]
    found = {}
    for name in environ:
        if name.startswith(PREFIX) and name not in known:
            meant = nearest(name.removeprefix(PREFIX), names)
            suggestion = f" Did you mean {PREFIX}{meant}?" if meant else ""
            found[name] = f"{name} is not a setting.{suggestion}"
    return found


def load(environ: Mapping[str, str]) -> Config:
    """Reads all settings. Raises `ConfigError` for the first that is invalid or unknown."""
    for problem in unknown_names(environ).values():
        raise ConfigError(f"{problem} `media-service config` lists all settings.")
    known = {variable(f.name): f for f in fields(Config)}
    values: dict[str, Any] = {}
    for name, spec in known.items():
        text = environ.get(name, "").strip() or spec.metadata["default"]
        try:
            values[spec.name] = spec.metadata["parse"](text)
        except ValueError as error:
            # A document may have secrets in places that are not allowed.
            hidden = spec.metadata["masked"] or text[:1] in {"[", "{"}
            shown = "its value" if hidden else shown_value(text)
            raise ConfigError(f"{name}: {shown} is not allowed, it must be {error}") from None
    if (values["tls_cert"] is None) != (values["tls_key"] is None):
        raise ConfigError("MEDIA_TLS_CERT and MEDIA_TLS_KEY must be set together")
    if values["tls_client_port"] and not (values["tls_cert"] and values["tls_client_ca"]):
        raise ConfigError(
            "MEDIA_TLS_CLIENT_PORT needs MEDIA_TLS_CERT, MEDIA_TLS_KEY and MEDIA_TLS_CLIENT_CA"
        )
    check_issuers(values)
    if values["scan"] != OFF and not values["scan_address"]:
        raise ConfigError(f"MEDIA_SCAN_ADDRESS must be set if MEDIA_SCAN is {values['scan']}")
    if values["jobs_transport"] == RABBITMQ and not values["rabbitmq_url"]:
        raise ConfigError(f"MEDIA_RABBITMQ_URL must be set if MEDIA_JOBS_TRANSPORT is {RABBITMQ}")
    if values["foreign_operations"] and not values["rabbitmq_url"]:
        raise ConfigError("MEDIA_RABBITMQ_URL must be set if MEDIA_FOREIGN_OPERATIONS is")
    return Config(**values)


def shown_value(text: str) -> str:
    text = without_password(text)
    return repr(text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…")


def check_issuers(values: Mapping[str, Any]) -> None:
    """Raises ConfigError unless each issuer has one place that says how to verify its tokens."""
    listed, own = {each.issuer for each in values["jwt_issuers"]}, values["jwt_issuer"]
    if own in listed:
        for name in ("jwt_secret", "jwt_jwks", "jwt_audience"):
            if values[name]:
                raise ConfigError(
                    f"{variable(name)} must be empty: MEDIA_JWT_ISSUERS says how to verify the"
                    " tokens of MEDIA_JWT_ISSUER"
                )
    claim = values["admin_claim"]
    if claim and claim.issuer and claim.issuer not in {*listed, own}:
        raise ConfigError(
            f"MEDIA_ADMIN_CLAIM: {claim.issuer} is neither in MEDIA_JWT_ISSUERS nor"
            " MEDIA_JWT_ISSUER"
        )
