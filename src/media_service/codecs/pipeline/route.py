"""Which way a pipeline goes through the kinds of media: a picture of a film is a picture."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from mediaservice.v1.operation_pb2 import Operation

from media_service.codecs.pipeline import operation_fields as fields
from media_service.codecs.pipeline.text_form import canonical, read
from media_service.errors import FailedPrecondition, Reason

IMAGE, VIDEO = "IMAGE", "VIDEO"
STREAM = "stream"
# An operation by its name, and its message with all defaults.
Step: TypeAlias = tuple[str, Any]


@dataclass(frozen=True, slots=True)
class Way:
    """A pipeline in two parts. `steps`: what is done to a film, a sound or a document, in order.
    `pictures`: what is done to the picture that it is, or that came out of it, in the canonical
    text form; None: there is none. `heavy`: a film is encoded, which takes long."""

    steps: tuple[Step, ...]
    pictures: str | None
    heavy: bool = False


def way(text: str, kind: str) -> Way:
    """Of a pipeline in its canonical text form, begun with media of this kind.

    Raises FailedPrecondition (OPERATION_NOT_APPLICABLE).
    """
    steps: list[Step] = []
    pictures: list[Operation] = []
    ended = ""
    for operation in read(text):
        name, message = fields.step(fields.filled(operation))
        if ended:
            raise not_applicable(f"Nothing can follow {ended}; there is {name}.", name)
        kinds = fields.kinds(message.DESCRIPTOR)
        if kind not in kinds:
            what = f"{name} takes {' or '.join(kinds)}, and would get {kind}"
            raise not_applicable(f"The pipeline cannot be run on this media: {what}.", name)
        if kind == IMAGE:
            pictures.append(operation)
        else:
            steps.append((name, message))
        kind = fields.makes(message.DESCRIPTOR) or kind
        ended = name if fields.is_last(message.DESCRIPTOR) else ""
    heavy = kind == VIDEO and ended in {"", STREAM}
    return Way(tuple(steps), canonical(pictures) if kind == IMAGE else None, heavy)


def not_applicable(message: str, name: str) -> FailedPrecondition:
    return FailedPrecondition(Reason.OPERATION_NOT_APPLICABLE, message, operation=name)
