"""Keeps renditions with the version that they were rendered from, when those of a newer version
replace them.

They stay readable under the number of their version, count for quotas, and are removed with it. If
a quota has no room for both, the new ones are what it keeps.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from media_service.blobs.model import PUBLIC, Blob
from media_service.blobs.placing import LINGER, release
from media_service.db.new_job import NewJob
from media_service.db.transaction import Transaction
from media_service.errors import FailedPrecondition, Reason
from media_service.jobs.model import JobKind
from media_service.media import queries
from media_service.media.model import STREAM, Media, NewRendition, Rendition
from media_service.media.versions import queries as versions


async def keep(tx: Transaction, media: Media, rendition: Rendition) -> bool:
    """Takes a rendition from the address of a media, which is locked, and keeps it with its
    version. Returns False if it cannot be kept: its version was deleted, or it is a stream, whose
    segments would take as much as the video. Raises FailedPrecondition (QUOTA_EXCEEDED)."""
    if rendition.name == STREAM:
        return False
    return await versions.keep_rendition(tx, media.media_id, rendition)


async def unpublish(tx: Transaction, media_id: str, kept: Iterable[Rendition]) -> None:
    """What was replaced is not public any more: lets a job move it from the public store."""
    if any(rendition.blob.store == PUBLIC for rendition in kept):
        await tx.enqueue(NewJob(JobKind.PUBLISH, media_id))


async def put_renditions(
    tx: Transaction, media: Media, new: Sequence[NewRendition], blobs: Sequence[Blob]
) -> None:
    """Adds renditions to a media, which is locked. Those with the same names are kept with their
    versions, if they are of earlier ones, and released otherwise."""
    older = {rendition.name: rendition for rendition in media.renditions}

    async def put(*, keeping: bool) -> None:
        kept = []
        for each, blob in zip(new, blobs, strict=True):
            replaced = older.get(each.name)
            earlier = replaced if replaced and replaced.version < each.version else None
            if keeping and earlier and await keep(tx, media, earlier):
                kept.append(earlier)
            await queries.put_rendition(tx, media.media_id, each, blob.blob_id)
            if replaced and replaced not in kept:
                await release_replaced(tx, media, replaced.blob)
        await unpublish(tx, media.media_id, kept)

    if any(each.name in older and older[each.name].version < each.version for each in new):
        try:
            async with tx.savepoint():
                await put(keeping=True)
        except FailedPrecondition as error:
            if error.reason is not Reason.QUOTA_EXCEEDED:
                raise
        else:
            return
    await put(keeping=False)


async def release_replaced(tx: Transaction, media: Media, old: Blob) -> None:
    """Releases the previous blob of a rendition."""
    exposed = old.store == PUBLIC and not media.published
    await release(tx, old.blob_id, timedelta() if exposed else LINGER)
