"""Brings bytes that are at hand into a store."""

from collections.abc import AsyncIterator

from media_service.storage.driver import Driver, PartName, PartWriter, StoredPart

# What is stored in one request, without a session.
SMALL = 8 << 20


async def store_whole(
    driver: Driver, key: str, pieces: AsyncIterator[bytes], size: int, content_type: str
) -> None:
    """Stores a blob of `size` bytes durably, in constant memory; what came is removed if that
    fails."""
    if size <= SMALL:
        await driver.put(key, b"".join([piece async for piece in pieces]), content_type)
        return
    session = await driver.begin(key, content_type)
    try:
        await driver.complete(key, session, await store_parts(driver, key, session, pieces))
    except BaseException:
        await driver.abort(key, session)
        raise


async def store_parts(
    driver: Driver, key: str, session: str, pieces: AsyncIterator[bytes]
) -> list[StoredPart]:
    parts: list[StoredPart] = []
    writer: PartWriter | None = None
    name, size = PartName(1, 1), 0
    async for piece in pieces:
        if writer is None:
            writer = await driver.open_part(key, session, name)
        await writer.write([piece])
        size += len(piece)
        if size >= (driver.limits.stream_part_size or size + 1):
            await writer.seal()
            parts.append(StoredPart(name, size, sealed=True))
            writer, name, size = None, PartName(name.number + 1, 1), 0
    if writer is not None:
        await writer.seal()
        parts.append(StoredPart(name, size, sealed=True))
    return parts
