"""Parts of known sizes in a local store."""

from media_service.storage.driver import ExpectedRange, PartName
from media_service.storage.drivers.local.driver import LocalDriver, LocalPartWriter

SIZE = 10_000


def data(number: int, size: int = SIZE) -> bytes:
    return bytes([number]) * size


def place(number: int, size: int = SIZE) -> ExpectedRange:
    return ExpectedRange((number - 1) * size, size)


async def unsealed_part(
    driver: LocalDriver, key: str, number: int, epoch: int = 1, byte: int | None = None
) -> LocalPartWriter:
    """A writer whose part is written but not sealed."""
    writer = await driver.open_part(key, "", PartName(number, epoch), place(number))
    await writer.write([data(number if byte is None else byte)])
    return writer
