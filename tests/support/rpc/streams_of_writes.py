"""Messages of WriteUpload."""

from crc32c import crc32c as crc32c_of
from mediaservice.v1 import upload_service_pb2

Message = upload_service_pb2.WriteUploadRequest

MIB = 1 << 20


def chunks(
    data: bytes, *, upload_id: str = "", start: int = 0, size: int = 256 << 10, finish: bool = True
) -> list[Message]:
    """The messages that send data[start:], each with its crc32c."""
    messages = []
    for offset in range(start, len(data), size):
        piece = data[offset : offset + size]
        messages.append(Message(offset=offset, data=piece, crc32c=crc32c_of(piece)))
    if upload_id:
        messages[0].upload_id = upload_id
    else:
        messages[0].spec.filename = "video.mp4"
    messages[-1].finish = finish
    return messages
