"""Renders one rendition of many media."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from media_service.access.principal import Principal
from media_service.access.role import Role
from media_service.batches.actions import Action, Decide
from media_service.batches.model import Change
from media_service.batches.queries import media as queries
from media_service.codecs.pipeline.pipeline import Pipeline
from media_service.db.new_event import Numbered
from media_service.db.transaction import Transaction
from media_service.jobs.model import Priority
from media_service.media import queries as media_queries
from media_service.media.model import Media
from media_service.quotas import queries as quotas
from media_service.quotas.model import Charged
from media_service.renditions.processing import RenditionRequest, job_of


@dataclass(frozen=True)
class Process(Action[Media]):
    """Starts a job for each media that does not have the rendition and is not about to get it.
    `name`, `priority`: see `RenditionRequest`. `foreign`: see `kind_of_job`."""

    pipeline: Pipeline
    name: str
    priority: Priority
    foreign: Collection[str] = ()

    role = Role.EDITOR
    audit = "renditions.create"
    together = 100

    def request(self, media_id: str) -> RenditionRequest:
        return RenditionRequest(media_id, self.pipeline, self.name, self.priority, None)

    async def load(
        self, tx: Transaction, principal: Principal, media_ids: Sequence[str]
    ) -> Sequence[Media | None]:
        return await media_queries.get_asked(tx, [(each, principal) for each in media_ids])

    async def prepare(
        self, tx: Transaction, principal: Principal, media: Sequence[Media]
    ) -> Decide[Media]:
        overlays = self.pipeline.overlays
        asked = [(media_id, principal) for media_id in overlays]
        found = dict(zip(overlays, await media_queries.get_asked(tx, asked), strict=True))
        ids = [each.media_id for each in media]
        rendering = await queries.rendering(tx, ids, self.request("").rendition, self.pipeline.text)
        charged = [Charged(each.owner, each.project_id) for each in media]
        exhausted = dict(zip(ids, await quotas.exhausted(tx, charged), strict=True))

        def decide(media: Media) -> Change[Media]:
            media_id = media.media_id
            known = {**found, media_id: media}
            job = job_of(principal, self.request(media_id), known, self.foreign)
            # Renditions are not kept: a media may have many.
            bare = replace(media, renditions=())
            if job.done or media_id in rendering:
                return Change(bare, {})
            if error := exhausted[media_id]:
                raise error
            return Change(bare, {}, job)

        return decide

    async def make(
        self, tx: Transaction, changes: Sequence[Change[Media]]
    ) -> Mapping[str, Numbered]:
        await tx.enqueue(*(each.job for each in changes if each.job))
        return {}
