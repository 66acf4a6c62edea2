"""Routes the steps of a pipeline to the renderers by kind of media. For example, a frame of a video
is an image."""

from dataclasses import dataclass

from media_service.codecs.inspection import AvInfo, DocumentInfo, Info, VideoInfo
from media_service.codecs.pipeline import operation_fields as fields
from media_service.codecs.pipeline.pipeline import STREAM, Pipeline, Step
from media_service.errors import FailedPrecondition, Reason

IMAGE, VIDEO = "IMAGE", "VIDEO"
# Operations that read only a part of a video, and all pages of a document.
FRAME, EXTRACT_TEXT = "frame", "extract_text"
# What is read of longer inputs takes more than a few seconds.
LIGHT_SECONDS_OF_INPUT = 300.0
# Videos up to this product of duration and megapixels of a frame are encoded in a few seconds, such
# as ten seconds of 1080p.
LIGHT_MEGAPIXEL_SECONDS = 20.0
MEGA = 1_000_000
LIGHT_PAGES = 500


@dataclass(frozen=True, slots=True)
class Route:
    """The route of a pipeline. `steps` are the steps for video, audio or documents, in order.
    `image_pipeline` has the steps for the original or resulting image, or is None if the result is
    not an image. `encodes_video` means that the result is a video."""

    steps: tuple[Step, ...]
    image_pipeline: Pipeline | None
    encodes_video: bool = False

    def is_heavy(self, info: Info | None) -> bool:
        """Predicts whether the work takes more than a few seconds. `info` is the result of the
        inspection of the original, if it is known."""
        if self.encodes_video:
            return not (isinstance(info, VideoInfo) and is_short(info))
        operation = self.steps[-1].name if self.steps else ""
        match info:
            case AvInfo():
                return operation != FRAME and info.duration_seconds > LIGHT_SECONDS_OF_INPUT
            case DocumentInfo():
                return operation == EXTRACT_TEXT and info.page_count > LIGHT_PAGES
        return False


def is_short(video: VideoInfo) -> bool:
    """Whether encoding all of this video takes a few seconds."""
    megapixels = video.width * video.height / MEGA
    return 0 < video.duration_seconds * megapixels <= LIGHT_MEGAPIXEL_SECONDS


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
    image_pipeline = Pipeline.of_steps(image_steps) if kind == IMAGE else None
    return Route(tuple(steps), image_pipeline, kind == VIDEO and ended in {"", STREAM})


def not_applicable(message: str) -> FailedPrecondition:
    return FailedPrecondition(Reason.OPERATION_NOT_APPLICABLE, message)
