"""Which way a pipeline goes through the kinds of media: a picture of a film is a picture."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.pipeline import operation_fields as fields
from media_service.codecs.pipeline.text_form import canonical_text, parse_text
from media_service.errors import FailedPrecondition, Reason

IMAGE, VIDEO = "IMAGE", "VIDEO"
STREAM = "stream"
# An operation by its name, and its message with all defaults.
Step: TypeAlias = tuple[str, Any]


@dataclass(frozen=True, slots=True)
class Route:
    """A pipeline in two parts. `steps`: what is done to a film, a sound or a document, in order.
    `pictures`: what is done to the picture that it is, or that came out of it, in the canonical
    text form; None: there is none. `heavy`: a film is encoded, which takes long."""

    steps: tuple[Step, ...]
    image_pipeline: str | None
    heavy: bool = False


def find_route(text: str, kind: str) -> Route:
    """Of a pipeline in its canonical text form, begun with media of this kind.

    Raises FailedPrecondition (OPERATION_NOT_APPLICABLE).
    """
    steps: list[Step] = []
    pictures: list[Operation] = []
    ended = ""
    for operation in parse_text(text):
        name, message = fields.unpack(fields.with_defaults(operation))
        if ended:
            raise not_applicable(f"Nothing can follow {ended}; there is {name}.", name)
        kinds = fields.input_kinds(message.DESCRIPTOR)
        if kind not in kinds:
            what = f"{name} takes {' or '.join(kinds)}, and would get {kind}"
            raise not_applicable(f"The pipeline cannot be run on this media: {what}.", name)
        if kind == IMAGE:
            pictures.append(operation)
        else:
            steps.append((name, message))
        kind = fields.output_kind(message.DESCRIPTOR) or kind
        ended = name if fields.ends_pipeline(message.DESCRIPTOR) else ""
    heavy = kind == VIDEO and ended in {"", STREAM}
    return Route(tuple(steps), canonical_text(pictures) if kind == IMAGE else None, heavy)


def not_applicable(message: str, name: str) -> FailedPrecondition:
    return FailedPrecondition(Reason.OPERATION_NOT_APPLICABLE, message)
