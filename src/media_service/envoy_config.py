"""Renders the configuration of Envoy, which serves REST, from the settings and the contract.

The result is one self-contained file. The services and the methods of each path come from the
descriptors, so a new RPC needs no change here.
"""

import base64
import hashlib
import json
import re
import ssl
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib.resources import files
from string import Template
from typing import Any

from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

from media_service.config import Config
from media_service.contract import descriptor_set
from media_service.envoy_cors import IS_PREFLIGHT, VARY, cors, cors_policy
from media_service.envoy_errors import replies
from media_service.envoy_messages import PACKAGE, tables
from media_service.envoy_rates import rate_filter, refusal

TEMPLATES = files("media_service") / "envoy_templates"
TYPES = "type.googleapis.com/envoy.extensions"
LUA = "envoy.filters.http.lua"
# A browser takes no response for another type than it says, such as JSON with a title for a page.
NOSNIFF = {
    "header": {"key": "x-content-type-options", "value": "nosniff"},
    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
}
FILTER_CONFIG = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig"}
# Of all clients.
MAX_CONNECTIONS = 10_000
# A call with a JSON body is given up after this time, because its body takes up memory and may
# trickle in. Clients wait for 60 seconds.
JSON_SECONDS = 300
# Watches are silent for at most 10 seconds.
MIN_IDLE_SECONDS = 20
# The RPCs that links lead to. They ignore unknown query parameters.
LINKED = {
    f"/{PACKAGE}.{method}"
    for method in (
        *("DownloadService/GetContent", "DownloadService/GetPublic", "DownloadService/GetSigned"),
        *("DownloadService/GetStream", "UploadService/PutSigned"),
        "ArchiveService/GetSignedArchive",
    )
}
READS = ("GET", "HEAD")


def render(config: Config, upstreams: Sequence[tuple[str, int]], listen: str) -> str:
    """The complete configuration: REST on `listen`, gRPC at `upstreams` (host, port)."""
    descriptors = contract()
    values: dict[str, Any] = {
        "host": listen,
        "port": config.rest_port,
        "memory": config.envoy_memory,
        "connections": MAX_CONNECTIONS,
        "downstream_tls": downstream_tls(config),
        "client_certificates": "SANITIZE_SET" if config.tls_client_ca else "SANITIZE",
        "upstream_tls": upstream_tls(config),
        "lua": lua("transcoder_errors.lua", "query.lua", "http_translation.lua"),
        "json_body": lua("json_body.lua"),
        "descriptors": base64.b64encode(descriptors.SerializeToString()).decode(),
        "services": [f"{PACKAGE}.{service.name}" for service in services(descriptors)],
        "cors": cors(config.cors_origins),
        "trusted_proxies": config.trusted_proxies,
        "rate_filter": rate_filter(config.rate_gateway),
        "response_headers": [NOSNIFF, *([VARY] if config.cors_origins else [])],
        "errors": replies(config.cors_origins, refusal(config.rate_gateway)),
        "routes": routes(descriptors, config.stream_timeout),
        "endpoints": [
            {"endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}}}
            for host, port in upstreams
        ],
    }
    template = Template((TEMPLATES / "envoy.yaml").read_text())
    return template.substitute({name: json.dumps(value) for name, value in values.items()})


def lua(*names: str) -> str:
    """The code of a Lua filter, which begins with what all of them share."""
    files = ("contract.lua", *names)
    return "\n".join([tables(), *((TEMPLATES / file).read_text() for file in files)])


def contract() -> FileDescriptorSet:
    """The descriptors without comments, which are most of their size."""
    found = descriptor_set()
    for file in found.file:
        file.ClearField("source_code_info")
    return found


def services(descriptors: FileDescriptorSet) -> list[ServiceDescriptorProto]:
    return [s for file in descriptors.file if file.package == PACKAGE for s in file.service]


@dataclass(frozen=True, slots=True)
class Binding:
    """A REST mapping of the contract. `rpc`: the path of the gRPC method. `uploads`, `streaming`:
    the request, the response is a stream of messages. `parameters`: the fields that a query may
    have. `head_as_get`: a HEAD that the contract does not have, answered as GET without the body.
    """

    rpc: str
    method: str
    template: str
    body: str
    uploads: bool
    streaming: bool
    parameters: tuple[str, ...]
    head_as_get: bool = False


def bindings(descriptors: FileDescriptorSet) -> Iterator[Binding]:
    messages = {
        f".{file.package}.{message.name}": message
        for file in descriptors.file
        for message in file.message_type
    }
    for service in services(descriptors):
        for method in service.method:
            rule = method.options.Extensions[annotations_pb2.http]
            for binding in (rule, *rule.additional_bindings):
                match binding.WhichOneof("pattern"):
                    case "custom":
                        verb, template = binding.custom.kind, binding.custom.path
                    case str(pattern):
                        verb, template = pattern.upper(), getattr(binding, pattern)
                    case None:
                        continue  # gRPC only
                yield Binding(
                    f"/{PACKAGE}.{service.name}/{method.name}",
                    verb,
                    template,
                    binding.body,
                    method.client_streaming,
                    method.server_streaming,
                    parameters(messages[method.input_type], template, binding.body),
                )


def parameters(request: DescriptorProto, template: str, body: str) -> tuple[str, ...]:
    """The names of the fields that neither the path nor the body contains, in both spellings."""
    elsewhere = {*re.findall(r"{(\w+)", template), body}
    fields = [field for field in request.field if field.name not in elsewhere]
    return tuple(dict.fromkeys(name for f in fields for name in (f.name, f.json_name)))


def path_regex(template: str) -> str:
    """`/v1/media/{media_id}:purge` as a regular expression for Envoy (RE2)."""
    pieces = re.split(r"(\{[^}]*\})", template)
    return "".join(
        (".+" if piece.endswith("=**}") else "[^/:]+")
        if piece.startswith("{")
        else re.escape(piece)
        for piece in pieces
    )


def routes(descriptors: FileDescriptorSet, stream_timeout: timedelta) -> list[dict[str, Any]]:
    """A 405 for other methods of each known path, HEAD for each GET with a single response, time
    limits for calls with a JSON body and for downloads, and uploads and gRPC, whose bodies are not
    buffered. The transcoder answers all other requests."""
    known = list(bindings(descriptors))
    methods: dict[str, set[str]] = defaultdict(set)
    for binding in known:
        methods[path_regex(binding.template)].add(binding.method)
    heads = [
        replace(binding, method="HEAD", head_as_get=True)
        for binding in known
        if binding.method == "GET" and not binding.streaming
        if "HEAD" not in methods[path_regex(binding.template)]
    ]
    for binding in heads:
        methods[path_regex(binding.template)].add("HEAD")
    untranscoded = {"envoy.filters.http.grpc_json_transcoder": {**FILTER_CONFIG, "disabled": True}}
    unbuffered = {
        "envoy.filters.http.buffer": {
            "@type": f"{TYPES}.filters.http.buffer.v3.BufferPerRoute",
            "disabled": True,
        }
    }
    refusals = [
        {
            "match": {
                "safe_regex": {"regex": regex},
                "headers": [
                    {
                        "name": ":method",
                        "string_match": {"safe_regex": {"regex": "|".join(sorted(allowed))}},
                        "invert_match": True,
                    }
                ],
            },
            "direct_response": {"status": 405},
            "response_headers_to_add": [
                {"header": {"key": "allow", "value": ", ".join(sorted(allowed))}}
            ],
            "typed_per_filter_config": {**unbuffered, **untranscoded},
        }
        for regex, allowed in sorted(methods.items())
    ]
    # No timeout for the whole request, because uploads and watches may take long.
    service = {"cluster": "media", "timeout": "0s"}
    # Ends if nothing moves for a little longer than the server waits for a client.
    idle = max(round(stream_timeout.total_seconds() * 1.25), MIN_IDLE_SECONDS)
    quick = {**service, "idle_timeout": f"{idle}s"}
    total = {"max_stream_duration": {"max_stream_duration": f"{JSON_SECONDS}s"}}
    # The CORS filter answers preflights only if a route matches.
    preflight = {
        "prefix": "/",
        "headers": [
            {"name": ":method", "string_match": {"exact": "OPTIONS"}},
            IS_PREFLIGHT,
        ],
    }
    uploads = [
        {
            "match": of_method(binding),
            "route": {**service, "cluster": "uploads"},
            "typed_per_filter_config": {**unbuffered, **untranscoded},
            **for_lua(facts(binding)),
        }
        for binding in known
        if binding.uploads
    ]
    # A body holds the whole request, also that of a method without one. http_translation.lua
    # refuses a body of GET and HEAD that has no type.
    typed = {"name": "content-type", "present_match": True}
    unary = [binding for binding in (*known, *heads) if not (binding.streaming or binding.uploads)]
    bodies = [
        {
            "match": of_method(binding, *([typed] if binding.method in READS else [])),
            "route": {**quick, **total},
            **for_lua({**facts(binding), "checked": True}),
            "typed_per_filter_config": {"json_body": {**FILTER_CONFIG, "config": {}}},
        }
        for binding in unary
    ]
    reads = [
        {"match": of_method(binding), "route": service, **for_lua(facts(binding))}
        for binding in unary
        if binding.method in READS
    ]
    downloads = [
        {"match": of_method(binding), "route": quick, **for_lua(facts(binding))}
        for binding in known
        if binding.streaming
    ]
    web = {"envoy.filters.http.grpc_web": {**FILTER_CONFIG, "config": {}}}
    post = [{"name": ":method", "string_match": {"exact": "POST"}}]
    grpc = [
        route
        for prefix in (f"/{PACKAGE}.", "/grpc.")
        for route in (
            {
                "match": {"prefix": prefix, "headers": post},
                "route": service,
                "typed_per_filter_config": {**unbuffered, **web},
                **for_lua({"grpc_web": True}),
            },
            {"match": {"prefix": prefix}, "route": service, "typed_per_filter_config": unbuffered},
        )
    ]
    return [
        {
            "match": preflight,
            "route": service,
            # One of another origin is answered without permission, not passed on.
            "typed_per_filter_config": cors_policy({"forward_not_matching_preflights": False}),
        },
        *refusals,
        *uploads,
        *bodies,
        *reads,
        *downloads,
        *grpc,
        # Of other paths, which the transcoder refuses.
        {"match": {"prefix": "/"}, "route": service, "typed_per_filter_config": unbuffered},
    ]


def of_method(binding: Binding, *headers: dict[str, Any]) -> dict[str, Any]:
    """Matches the requests of a binding with these headers."""
    return {
        "safe_regex": {"regex": path_regex(binding.template)},
        "headers": [{"name": ":method", "string_match": {"exact": binding.method}}, *headers],
    }


def for_lua(metadata: dict[str, Any]) -> dict[str, Any]:
    """What the Lua filters read of a route."""
    return {"metadata": {"filter_metadata": {LUA: metadata}}}


def facts(binding: Binding) -> dict[str, Any]:
    """What the Lua filters know of a binding. `linked`: whether unknown parameters are ignored."""
    return {
        "rpc": binding.rpc,
        "parameters": f",{','.join(binding.parameters)},",
        "linked": binding.rpc in LINKED,
        "head_as_get": binding.head_as_get,
    }


def downstream_tls(config: Config) -> dict[str, Any] | None:
    if not config.tls_cert:
        return None
    certificate = {
        "certificate_chain": {"filename": str(config.tls_cert)},
        "private_key": {"filename": str(config.tls_key)},
    }
    context: dict[str, Any] = {
        "tls_certificates": [certificate],
        "alpn_protocols": ["h2", "http/1.1"],
    }
    if config.tls_client_ca:  # a client may have a certificate, and then it must be valid
        authorities = {"filename": str(config.tls_client_ca)}
        context["validation_context"] = {"trusted_ca": authorities}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{TYPES}.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": context,
        },
    }


def upstream_tls(config: Config) -> dict[str, Any] | None:
    """The gRPC port has the same certificate, so only this certificate is accepted.

    Its names are those of the public address, not of the machines behind it, so verifying names
    would fail, and verifying the issuer would accept other certificates of the same issuer.
    """
    if not config.tls_cert:
        return None
    pem = config.tls_cert.read_text()
    end = "-----END CERTIFICATE-----"
    leaf = ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN") : pem.index(end) + len(end)])
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{TYPES}.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2"],
                "validation_context": {
                    "verify_certificate_hash": [hashlib.sha256(leaf).hexdigest()]
                },
            },
        },
    }
