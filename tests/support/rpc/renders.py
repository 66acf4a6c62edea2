"""Renders on demand."""

import io
from dataclasses import dataclass
from typing import Any

from mediaservice.v1 import download_service_pb2
from PIL import Image

from tests.support.rpc.server import Caller, text_of


@dataclass(frozen=True)
class Answer:
    content: bytes
    headers: dict[str, str]

    @property
    def image(self) -> Image.Image:
        return Image.open(io.BytesIO(self.content))

    @property
    def size(self) -> tuple[int, int]:
        return self.image.size

    @property
    def status(self) -> str:
        return self.headers["x-http-status"]


async def render(caller: Caller, media_id: str, *headers: tuple[str, str], **asked: Any) -> Answer:
    request = download_service_pb2.RenderImageRequest(media_id=media_id, **asked)
    call = caller.downloads.RenderImage(request, metadata=(*caller.metadata, *headers))
    content = b"".join([body.data async for body in call])
    return Answer(content, text_of(await call.initial_metadata()))
