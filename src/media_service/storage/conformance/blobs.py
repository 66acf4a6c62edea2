"""Writes parts and reads blobs within the limits of any driver."""

from media_service.storage.driver import Driver, PartName, StoredPart


def whole(driver: Driver, data: bytes) -> bytes:
    """`data`, padded to the minimum size of a part that others follow."""
    return data * (-(-driver.limits.min_part_size // len(data)) or 1)


async def put(
    driver: Driver, key: str, session: str, data: bytes, number: int = 1, epoch: int = 1
) -> StoredPart:
    """Writes and seals one part."""
    name = PartName(number, epoch)
    writer = await driver.open_part(key, session, name)
    await writer.write([data])
    await writer.seal()
    return StoredPart(name, len(data), sealed=True)


async def store(driver: Driver, key: str, *pieces: bytes) -> None:
    """Stores a complete blob with one part for each piece."""
    session = await driver.begin(key)
    parts = [await put(driver, key, session, data, n) for n, data in enumerate(pieces, 1)]
    await driver.complete(key, session, parts)


async def content(driver: Driver, key: str, offset: int = 0, length: int | None = None) -> bytes:
    if length is None:
        info = await driver.stat(key)
        assert info is not None
        length = info.size - offset
    return b"".join([piece async for piece in driver.read(key, offset, length, 1 << 20)])


async def keys(driver: Driver, prefix: str) -> set[str]:
    return {info.key async for info in driver.list(prefix)}
