"""`page`: renders one page as an image."""

from typing import Any

from media_service.codecs.document.task import DocumentTask
from media_service.codecs.output import Output
from media_service.codecs.sandbox.exit_cause import corrupt

TASK = "media_service.codecs.document.page:draw_page"


async def render(task: DocumentTask) -> Output:
    size = task.message.size
    answer = await task.run(number=task.message.number, size=size)
    return Output(task.result, "image/png", *checked(answer, size))


def checked(answer: Any, size: int) -> tuple[int, int]:
    """Checks the answer of a child, which a hostile file may have taken over. Raises
    InvalidArgument (MEDIA_CORRUPT)."""
    match answer:
        case [int(width), int(height)] if min(width, height) > 0 and max(width, height) == size:
            return width, height
    raise corrupt("The document cannot be read.")
