"""Routes the steps of a pipeline to the renderers by the kind of media: a frame of a video, for
example, is an image."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.pipeline import operation_fields as fields
from media_service.codecs.pipeline.text_form import canonical_text, parse_text
from media_service.errors import FailedPrecondition, Reason

IMAGE, VIDEO = "IMAGE", "VIDEO"
STREAM = "stream"
# The name of an operation, and its message with all defaults.
Step: TypeAlias = tuple[str, Any]


@dataclass(frozen=True, slots=True)
class Route:
    """`steps`: the steps for video, audio or documents, in order. `image_pipeline`: the steps for
    the original or resulting image, in canonical form; None: the result is not an image. `heavy`:
    it encodes video, which takes long."""

    steps: tuple[Step, ...]
    image_pipeline: str | None
    heavy: bool = False


def find_route(text: str, kind: str) -> Route:
    """The route of a pipeline in canonical form that begins with media of this kind.

    Raises FailedPrecondition (OPERATION_NOT_APPLICABLE).
    """
    steps: list[Step] = []
    image_operations: list[Operation] = []
    ended = ""
    for operation in parse_text(text):
        name, message = fields.unpack(fields.with_defaults(operation))
        if ended:
            raise not_applicable(f"{name} cannot follow {ended}, which ends a pipeline.", name)
        kinds = fields.input_kinds(message.DESCRIPTOR)
        if kind not in kinds:
            what = f"{name} takes {' or '.join(kinds)}, but would get {kind}"
            raise not_applicable(f"The pipeline is not applicable to this media: {what}.", name)
        if kind == IMAGE:
            image_operations.append(operation)
        else:
            steps.append((name, message))
        kind = fields.output_kind(message.DESCRIPTOR) or kind
        ended = name if fields.ends_pipeline(message.DESCRIPTOR) else ""
    heavy = kind == VIDEO and ended in {"", STREAM}
    return Route(tuple(steps), canonical_text(image_operations) if kind == IMAGE else None, heavy)


def not_applicable(message: str, name: str) -> FailedPrecondition:
    return FailedPrecondition(Reason.OPERATION_NOT_APPLICABLE, message)
