"""Routes the steps of a pipeline to the renderers by kind of media. For example, a frame of a video
is an image."""

from dataclasses import dataclass

from media_service.codecs.pipeline import operation_fields as fields
from media_service.codecs.pipeline.pipeline import STREAM, Pipeline, Step
from media_service.errors import FailedPrecondition, Reason

IMAGE, VIDEO = "IMAGE", "VIDEO"


@dataclass(frozen=True, slots=True)
class Route:
    """The route of a pipeline. `steps` are the steps for video, audio or documents, in order.
    `image_pipeline` has the steps for the original or resulting image, or is None if the result is
    not an image. `heavy` means that it encodes video, which takes a long time."""

    steps: tuple[Step, ...]
    image_pipeline: Pipeline | None
    heavy: bool = False


def find_route(pipeline: Pipeline, kind: str) -> Route:
    """Returns the route of a pipeline for media of this kind.
    Raises FailedPrecondition (OPERATION_NOT_APPLICABLE).
    """
    steps: list[Step] = []
    image_steps: list[Step] = []
    ended = ""
    for step in pipeline.steps:
        name, operation = step.name, fields.operations()[step.name]
        if ended:
            raise not_applicable(f"{name} cannot follow {ended}, which ends a pipeline.")
        kinds = fields.input_kinds(operation)
        if kind not in kinds:
            what = f"{name} takes {' or '.join(kinds)}, but would get {kind}"
            raise not_applicable(f"The pipeline is not applicable to this media: {what}.")
        (image_steps if kind == IMAGE else steps).append(step)
        kind = fields.output_kind(operation) or kind
        ended = name if fields.ends_pipeline(operation) else ""
    heavy = kind == VIDEO and ended in {"", STREAM}
    return Route(tuple(steps), Pipeline.of_steps(image_steps) if kind == IMAGE else None, heavy)


def not_applicable(message: str) -> FailedPrecondition:
    return FailedPrecondition(Reason.OPERATION_NOT_APPLICABLE, message)
