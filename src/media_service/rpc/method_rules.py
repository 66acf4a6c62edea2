"""The rules of each method, read from the contract's descriptors."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from google.api import annotations_pb2
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from mediaservice.v1 import rule_pb2
from mediaservice.v1.rule_pb2 import Rule

from media_service.access.principal import LinkMode
from media_service.access.role import Role
from media_service.rpc.rest_names import RestNames

LINKS: Mapping[int, frozenset[str]] = {
    Rule.LINK_UNSPECIFIED: frozenset(),
    Rule.READ_LINKS: frozenset({LinkMode.VIEW, LinkMode.DOWNLOAD}),
    Rule.UPLOAD_LINKS: frozenset({LinkMode.UPLOAD}),
}


@dataclass(frozen=True, slots=True)
class MethodRule:
    """`permission` empty: public. `audit` empty: not audited. `resource`: the request field that
    names the resource, and `minimum_role`: the role that the caller needs on it. `cost`: the units
    of a rate limit that a call uses, or each element of the field `cost_per` if there is one.
    `ticket`: whether a watch ticket can replace the token. `request`: the type of request messages.
    `rest`: the field names of errors over REST. `reading`: what a read of content counts as.
    `links`: the modes of the share links whose sessions may call it. `batch`: whether it answers
    with a result for each of several items."""

    permission: str
    audit: str
    resource: str
    minimum_role: Role
    cost: int
    cost_per: str
    ticket: bool
    request: type[Message]
    rest: RestNames
    reading: int
    links: frozenset[str]
    batch: bool

    @property
    def action(self) -> str:
        """What a refused call would have done."""
        return self.audit or self.permission or "media.read"


def read_rules(services: Iterable[ServiceDescriptor]) -> Mapping[str, MethodRule]:
    """Rules by method path, such as "/mediaservice.v1.MediaService/GetMedia".

    Raises ValueError for a method without a rule, so that the server does not start.
    """
    rules = {}
    for service in services:
        for method in service.methods:
            rule = method.GetOptions().Extensions[rule_pb2.rule]
            if bool(rule.permission) == rule.public:
                raise ValueError(f"{method.full_name}: set either permission or public in its rule")
            http = method.GetOptions().Extensions[annotations_pb2.http]
            path = f"/{service.full_name}/{method.name}"
            rules[path] = MethodRule(
                rule.permission,
                rule.audit,
                rule.resource,
                Role(rule.minimum_role),
                max(rule.cost or 1, 0),
                rule.cost_per,
                rule.ticket,
                GetMessageClass(method.input_type),
                RestNames.of(method.input_type, method.output_type, http.body),
                rule.reading,
                LINKS[rule.link],
                "results" in method.output_type.fields_by_name,
            )
    return rules
