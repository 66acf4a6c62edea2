"""The contract's descriptors and their comments."""

import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import mediaservice.v1
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor
from google.protobuf.message_factory import GetMessageClass

from media_service.contract import descriptor_pool, descriptor_set

ROOT = Path(__file__).parents[1]
PACKAGE = "mediaservice.v1"
# A process knows only the messages and options of imported modules.
for module in pkgutil.iter_modules(mediaservice.v1.__path__):
    if module.name.endswith("_pb2"):
        importlib.import_module(f"{PACKAGE}.{module.name}")


@dataclass(frozen=True, slots=True)
class Comment:
    """The comment of one element. `detached` has the separate comments before it."""

    text: str
    detached: tuple[str, ...] = ()


class Contract:
    """A descriptor set with source info: our package's files and their comments."""

    def __init__(self, files: descriptor_pb2.FileDescriptorSet) -> None:
        self.files = [file for file in files.file if file.package == PACKAGE]
        self._comments: dict[str, Comment] = {}
        for file in self.files:
            self._comments.update(comments(file))

    @classmethod
    def current(cls) -> "Contract":
        return cls(descriptor_set())

    def comment(self, name: str) -> Comment:
        """The comment of an element by its full name, such as "mediaservice.v1.Media.media_id"."""
        return self._comments.get(name, Comment(""))


@cache
def message_options() -> tuple[type[Any], Any]:
    """The class of message options, and its extension `buf.validate.message`."""
    pool = descriptor_pool()
    options = GetMessageClass(pool.FindMessageTypeByName("google.protobuf.MessageOptions"))
    return options, pool.FindExtensionByName("buf.validate.message")


def message_rules(message: Descriptor) -> Any:
    """The `buf.validate.MessageRules` of a message. Empty if it has no rules."""
    options, rules = message_options()
    return options.FromString(message.GetOptions().SerializeToString()).Extensions[rules]


def comments(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[str, Comment]]:
    """The comments in a file, by the full names of the elements they describe."""
    for location in file.source_code_info.location:
        if location.leading_comments or location.leading_detached_comments:
            name = name_at(file, location.path)
            if name:
                detached = tuple(map(dedent, location.leading_detached_comments))
                yield f"{file.package}.{name}", Comment(dedent(location.leading_comments), detached)


def name_at(file: descriptor_pb2.FileDescriptorProto, path: Sequence[int]) -> str:
    """The name of the element at a path of a source location. Empty if it has none."""
    element: Any = file
    names = []
    for number, index in zip(path[::2], path[1::2], strict=False):
        field = element.DESCRIPTOR.fields_by_number[number]
        if not field.is_repeated or not field.message_type:
            return ""
        element = getattr(element, field.name)[index]
        if not hasattr(element, "name"):
            return ""
        names.append(element.name)
    return ".".join(names) if names and len(path) % 2 == 0 else ""


def dedent(comment: str) -> str:
    """A comment without the space after each `//`."""
    return "\n".join(line.removeprefix(" ").rstrip() for line in comment.splitlines()).strip()


def prose(comment: str) -> str:
    """A comment on one line."""
    return " ".join(comment.split())
