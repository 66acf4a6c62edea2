"""Makes a new version of a media the current one, with renditions of it.

The renditions of the version before it are served until those of the new one are stored. One that
cannot be rendered from the new version leaves the media: it would show for ever what was replaced.
"""

from collections.abc import Collection, Iterable

from media_service.blobs.placing import LINGER, release
from media_service.codecs.inspection import Info, Inspection
from media_service.codecs.pipeline.pipeline import COMPANION_SUFFIXES, stored_pipeline
from media_service.codecs.pipeline.route import find_route
from media_service.db.new_job import NewJob
from media_service.db.notifications import MediaChanged
from media_service.db.transaction import Transaction
from media_service.errors import Aborted, FailedPrecondition, Fault, MediaError, Reason
from media_service.failpoints import failpoint
from media_service.jobs.model import JobKind
from media_service.jobs.queries import changing, subjobs
from media_service.media import queries
from media_service.media.model import STREAM, Kind, Media, Placeholder, Rendition
from media_service.media.service import record_change
from media_service.media.versions import queries as versions
from media_service.renditions.foreign_kind import kind_of_job
from media_service.renditions.keeping import keep, unpublish
from media_service.renditions.presets import Presets
from media_service.renditions.streams import queries as streams


async def make_current(
    tx: Transaction,
    version: Media,
    kind: Kind,
    found: Inspection[Info],
    placeholder: Placeholder,
    rendered: Collection[str],
) -> Media | None:
    """Sets a version, which is locked, to READY, and makes it current unless a newer one is.
    `rendered`: the names of its thumbnails, which the caller adds. Returns the media, or None if
    the version is not current."""
    media_id = version.media_id
    before = await queries.get(tx, media_id)
    await versions.set_info(tx, version, kind, found, placeholder)
    if before is None or before.version > version.version:
        tx.notify(MediaChanged(media_id))
        return None
    await versions.promote(tx, media_id, version.version)
    await retire(
        tx, before, (r for r in before.renditions if not r.pipeline and r.name not in rendered)
    )
    after = await queries.get(tx, media_id)
    assert after  # noqa: S101 - it is locked
    await record_change(tx, before, after)
    tx.audit("media.replace", media_id=media_id, version=version.version)
    failpoint("version.promote.inside")
    return after


async def jobs_of_replaced(
    tx: Transaction, media: Media, info: Info, presets: Presets
) -> list[NewJob]:
    """The jobs that render again what was rendered from the version before. Stops those that are
    rendering it."""
    jobs = {job.rendition: job for job in presets.jobs(media, info)}
    texts = {base_name(r): r.pipeline for r in media.rendered_by_pipelines}
    error = Aborted(
        Reason.MEDIA_REPLACED,
        "The file of the media was replaced meanwhile. Another job renders the new one.",
        media_id=media.media_id,
    )
    fault = Fault(error.reason, error.message, error.metadata)
    for stopped in await changing.stop_renders(tx, media.media_id, fault):
        await subjobs.cancel(tx, stopped.job_id)
        texts[stopped.rendition] = stopped.pipeline
    for name, text in texts.items():
        if name not in jobs and (job := job_of(media, info, name, text, presets.foreign)):
            jobs[name] = job
    return list(jobs.values())


def base_name(rendition: Rendition) -> str:
    """The rendition that a job names, of which this one may be the companion."""
    for step in stored_pipeline(rendition.pipeline).steps:
        if suffix := COMPANION_SUFFIXES.get(step.name):
            return rendition.name.removesuffix(suffix)
    return rendition.name


def job_of(
    media: Media, info: Info, name: str, text: str, foreign: Collection[str]
) -> NewJob | None:
    """None: the grammar has changed since this pipeline was accepted."""
    try:
        pipeline = stored_pipeline(text)
        route = find_route(pipeline, media.kind)
    except MediaError:
        return None
    return NewJob(
        kind_of_job(pipeline, foreign),
        media.media_id,
        media.owner,
        pipeline=text,
        rendition=name,
        heavy=route.is_heavy(info),
        project_id=media.project_id,
    )


async def remove_replaced(tx: Transaction, media_id: str, names: Collection[str]) -> None:
    """Removes those of these renditions that are not of the current version, because the jobs that
    should have rendered them again have failed."""
    media = await queries.lock(tx, media_id)
    if media is None:
        return
    replaced = [
        r
        for r in media.renditions
        if r.pipeline and base_name(r) in names and r.version < media.version
    ]
    if replaced:
        await retire(tx, media, replaced)
        await queries.touch(tx, media_id)
        tx.notify(MediaChanged(media_id))


async def retire(tx: Transaction, media: Media, removed: Iterable[Rendition]) -> None:
    """Takes renditions of earlier versions from a media, which is locked. They are kept with their
    versions, if quotas have room."""
    kept = []
    for rendition in removed:
        try:
            async with tx.savepoint():
                is_kept = await keep(tx, media, rendition)
        except FailedPrecondition as error:
            if error.reason is not Reason.QUOTA_EXCEEDED:
                raise
            is_kept = False
        if is_kept:
            kept.append(rendition)
        else:
            await remove_renditions(tx, media, [rendition])
    await unpublish(tx, media.media_id, kept)


async def remove_renditions(tx: Transaction, media: Media, removed: Iterable[Rendition]) -> None:
    """Removes renditions of a media, which is locked."""
    for rendition in removed:
        if rendition.name == STREAM:
            for blob_id in await streams.remove_ready(tx, media.media_id):
                await tx.enqueue(NewJob(JobKind.UNLINK, blob_id))
        await queries.remove_rendition(tx, media.media_id, rendition.name)
        await release(tx, rendition.blob.blob_id, LINGER)
