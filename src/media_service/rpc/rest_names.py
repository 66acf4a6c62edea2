"""Errors over REST name fields as JSON does: `sizeBytes`, and from the HTTP body on."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor

from media_service.errors import InvalidArgument, MediaError
from media_service.rpc.field_validation import MAX_LISTED_VIOLATIONS

# A name with another spelling in JSON. What comes after a dot belongs to a path.
SNAKE_CASE = re.compile(r"(?<![\w.])[a-z]+(?:_[a-z0-9]+)+\b")

# Callers get no more of a message.
MAX_MESSAGE = 1024


@dataclass(frozen=True, slots=True)
class RestNames:
    """The field names of a method. `body`: the field of the request that the HTTP body holds, or
    "*". `spellings`: the JSON names of the fields that errors mention without a path."""

    request: Descriptor
    body: str
    spellings: Mapping[str, str]

    @classmethod
    def of(cls, request: Descriptor, response: Descriptor, body: str) -> "RestNames":
        messages = [each for whole in (request, response) for each in (whole, *parts(whole))]
        return cls(request, body, {k: v for each in messages for k, v in spellings(each)})

    def in_error(self, error: MediaError) -> MediaError:
        """The same error for a caller over REST."""
        message, fields = error.message, []
        listed = error.fields[:MAX_LISTED_VIOLATIONS] if isinstance(error, InvalidArgument) else ()
        message = message[:MAX_MESSAGE]
        for path, problem in listed:
            name, known = self._json_path(path)
            text = json_names(problem, known)
            if name != path:
                whole = rf"(?<![\w.]){re.escape(path)}(?!\w)"
                message = re.sub(whole, name.replace("\\", r"\\"), message)
            message = message.replace(problem, text)
            fields.append((name, text))
        message = json_names(message, self.spellings)
        named = type(error)(error.reason, message, **error.metadata)
        named.retry_seconds = error.retry_seconds
        if isinstance(named, InvalidArgument):
            named.fields = tuple(fields)
        return named

    def _json_path(self, path: str) -> tuple[str, Mapping[str, str]]:
        """The path over REST, and the spellings of the fields that its problem may mention. What
        follows a field that is no message, such as `ops`, stays as it is."""
        message: Any = self.request
        names, known = [], dict(self.spellings)
        for segment in path.split("."):
            name, bracket, index = segment.partition("[")
            field = message.fields_by_name.get(name) if message else None
            message = field.message_type if field else None
            names.append(f"{field.json_name if field else name}{bracket}{index}")
            known |= spellings(message) if message else ()
        return ".".join(names[1:] if names[1:] and names[0] == self.body else names), known


def parts(message: Descriptor) -> Iterator[Descriptor]:
    """The messages in a message, without those in lists: operations have names of their own."""
    for field in message.fields:
        if field.message_type and not field.is_repeated:
            yield field.message_type


def spellings(message: Descriptor) -> Iterator[tuple[str, str]]:
    for field in message.fields:
        if field.name != field.json_name:
            yield field.name, field.json_name


def json_names(text: str, known: Mapping[str, str]) -> str:
    return SNAKE_CASE.sub(lambda name: known.get(name[0], name[0]), text)
