"""`extract_text`: extracts the text of one page, or of all pages."""

from media_service.codecs.document.task import DocumentTask
from media_service.codecs.limits import text_limits
from media_service.codecs.output import Output

TASK = "media_service.codecs.document.text:extract_text"


async def render(task: DocumentTask) -> Output:
    message = task.message
    await task.run(
        progress=lambda percent: task.report(percent / 100),
        limits=text_limits(task.limits, task.pages),
        page=message.page if message.HasField("page") else None,
    )
    return Output(task.result, "text/plain; charset=utf-8")
