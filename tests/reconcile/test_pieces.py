"""Pieces of a blob, stored beside it until it is whole, belong to its upload."""

from media_service.reconcile.model import Kind
from media_service.storage.checksums import Checksums
from media_service.storage.conformance.blobs import put, whole
from media_service.storage.driver import piece_key
from media_service.uploads import queries
from tests.support.media.small_files import video_bytes
from tests.support.reconciling import ANN, Service, opened, session


async def key_of(service: Service, upload_id: str) -> str:
    async with service.database.connection() as db:
        upload = await queries.get(db, upload_id)
    assert upload is not None
    return service.store.key(upload.blob_id)


async def test_a_piece_is_kept_until_its_blob_is_whole(service: Service) -> None:
    upload_id = await session(service, video_bytes(8 << 20))
    key = await key_of(service, upload_id)
    piece = piece_key(key, 2)
    await service.driver.put(piece, b"a piece")
    assert await service.reconcile(repair=True) == []
    async with service.database.connection() as db:
        await queries.begin_verifying(db, upload_id, Checksums(), 0, 1)
    assert await service.reconcile(repair=True) == []
    assert await service.driver.stat(piece)
    await service.execute("update uploads set state = 'ACTIVE'")
    await service.uploads.complete(ANN, upload_id, Checksums())
    (found,) = await service.reconcile()
    assert (found.kind, found.key) == (Kind.ORPHANED, piece)
    assert await service.reconcile(repair=True) == []
    assert await service.driver.stat(piece) is None
    assert await service.driver.stat(key)
    assert await service.reconcile() == []


async def test_an_open_piece_is_kept_until_its_blob_is_whole(service: Service) -> None:
    upload_id = await session(service, video_bytes(8 << 20))
    key = await key_of(service, upload_id)
    piece = piece_key(key, 2)
    began = await service.driver.begin(piece)
    await put(service.driver, piece, began, whole(service.driver, video_bytes(1000)))
    assert await service.reconcile(repair=True) == []
    assert {blob.key for blob in await opened(service)} == {key, piece}
    await service.uploads.complete(ANN, upload_id, Checksums())
    (found,) = await service.reconcile()
    assert (found.kind, found.key) == (Kind.ABANDONED, piece)
    assert await service.reconcile(repair=True) == []
    assert await opened(service) == []
    assert await service.driver.stat(key)


async def test_an_unreferenced_piece_is_an_orphan(service: Service) -> None:
    await service.upload()
    piece = piece_key(service.store.key("01a1fea0-9e9b-7099-9785-ff01c9d05f8e"), 47)
    await service.driver.put(piece, b"a piece")
    assert await service.kinds() == [Kind.ORPHANED]
    assert await service.reconcile(repair=True) == []
    assert await service.driver.stat(piece) is None
