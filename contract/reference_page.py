"""docs/reference.md: services, messages and enums, from their comments and options."""

import textwrap
from collections.abc import Iterator

from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pool import Default
from mediaservice.v1 import operation_pb2, rule_pb2

from contract.descriptors import PACKAGE, Contract, prose
from contract.surface import leaves, route, type_of
from media_service.contract import field_rules

HEAD = """# Reference

<!-- Generated from protos/mediaservice/v1 by `make gen`. -->

All services, messages and enums of the package `mediaservice.v1`. Errors are described in [errors.md](errors.md),
operations in [operations.md](operations.md), and how the contract changes in [contract.md](contract.md).

Fields are in snake_case here and in gRPC, and in lowerCamelCase in JSON; query parameters may have either form.
"""
WIDTH = 120


def page(contract: Contract) -> str:
    lines = [HEAD.rstrip()]
    for file in contract.files:
        for service in file.service:
            descriptor = Default().FindServiceByName(f"{PACKAGE}.{service.name}")
            lines += ["", f"## {service.name}", "", *text(contract, descriptor.full_name)]
            for method in descriptor.methods:
                lines += rpc(contract, method)
    lines += ["", "## Messages and enums"]
    for file in contract.files:
        for enum in file.enum_type:
            lines += values(contract, Default().FindEnumTypeByName(f"{PACKAGE}.{enum.name}"))
        for message in file.message_type:
            lines += fields(contract, Default().FindMessageTypeByName(f"{PACKAGE}.{message.name}"))
    return "\n".join(lines) + "\n"


def rpc(contract: Contract, method: MethodDescriptor) -> Iterator[str]:
    yield from ("", f"### {method.name}", "", *text(contract, method.full_name), "")
    request = f"{'stream ' * method.client_streaming}{method.input_type.name}"
    response = f"{'stream ' * method.server_streaming}{method.output_type.name}"
    yield f"- gRPC: `{method.name}({request}) returns ({response})`"
    http = method.GetOptions().Extensions[annotations_pb2.http]
    for binding in (http, *http.additional_bindings):
        if verb_and_path := route(binding):
            yield f"- REST: `{verb_and_path}`{f', body: `{binding.body}`' * bool(binding.body)}"
    rule = method.GetOptions().Extensions[rule_pb2.rule]
    needs = f"`{rule.permission}`" if rule.permission else "none; the method is public"
    if rule.resource:
        needs += f", as {rule_pb2.Rule.Role.Name(rule.minimum_role)} of `{rule.resource}`"
    yield f"- Permission: {needs}"
    if rule.link:
        yield f"- Share links: `{rule_pb2.Rule.Link.Name(rule.link)}`"
    if rule.audit:
        yield f"- Audited as: `{rule.audit}`"


def fields(contract: Contract, message: Descriptor) -> Iterator[str]:
    yield from ("", f"### {short(message.full_name)}", "", *text(contract, message.full_name))
    if message.fields:
        yield ""
    for field in message.fields:
        about = prose(contract.comment(field.full_name).text)
        facts = ", ".join([f"{type_of(field).replace(f'{PACKAGE}.', '')}", *details(field)])
        yield item(f"`{field.name}` ({facts}){f': {about}' if about else ''}")
    for enum in message.enum_types:
        yield from values(contract, enum)
    for nested in message.nested_types:
        if not nested.GetOptions().map_entry:
            yield from fields(contract, nested)


def details(field: FieldDescriptor) -> Iterator[str]:
    """The behavior of a field and its allowed values."""
    for number in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]:
        yield field_behavior_pb2.FieldBehavior.Name(number)
    if field.containing_oneof and not field.containing_oneof.name.startswith("_"):
        yield f"one of {field.containing_oneof.name}"
    for path, value in leaves(field_rules(field)):
        if path not in {"ignore", "required"}:
            yield f"{path.partition('.')[2] or path} = `{value}`"
    if default := field.GetOptions().Extensions[operation_pb2.parameter_rule].default_value:
        yield f"default `{default}`"


def values(contract: Contract, enum: EnumDescriptor) -> Iterator[str]:
    yield from ("", f"### {short(enum.full_name)}", "", *text(contract, enum.full_name), "")
    for value in enum.values:
        about = prose(contract.comment(f"{enum.full_name}.{value.name}").text)
        yield item(f"`{value.name}` = {value.number}{f': {about}' if about else ''}")


def short(name: str) -> str:
    return name.removeprefix(f"{PACKAGE}.")


def item(line: str) -> str:
    return textwrap.fill(
        line, WIDTH, initial_indent="- ", subsequent_indent="  ", break_long_words=False
    )


def command(line: str) -> str:
    """A command of an example. Long commands are split over several lines."""
    if len(line) <= WIDTH:
        return line
    marks = (" -d ", " --json ", " $GRPC ", " $REST", ' "$REST')
    position = max(line.rfind(mark, 5, WIDTH - 2) for mark in marks)
    if position < 0:
        position = max(line.find(mark, 5) for mark in marks)
    if position < 0:
        return line
    return f"{line[:position]} \\\n{command(f'    {line[position + 1 :]}')}"


def text(contract: Contract, name: str) -> Iterator[str]:
    """A comment as Markdown. Paragraphs and lists are refilled, and examples become code blocks."""
    blocks = contract.comment(name).text.split("\n\n")
    for index, block in enumerate(blocks):
        if index:
            yield ""
        if block.startswith("    "):
            yield from ("```shell", *map(command, textwrap.dedent(block).splitlines()), "```")
        elif block.startswith(("- ", "* ", "1. ")):
            yield block
        else:
            yield textwrap.fill(prose(block), WIDTH, break_long_words=False)
