"""One store with all components that write to it, and its reconciler."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from datetime import timedelta

from media_service.access.owner import Owner
from media_service.access.principal import Principal
from media_service.db.database import Database
from media_service.jobs.model import Claim, JobKind
from media_service.media import queries as catalogue
from media_service.media.allowed_types import AllowedTypes
from media_service.media.model import Media
from media_service.reconcile.model import Finding, Kind
from media_service.reconcile.service import Reconciler
from media_service.sharing.creation import Creation
from media_service.storage.blob_store import BlobStore
from media_service.storage.checksums import Checksums
from media_service.storage.driver import Driver, OpenBlob
from media_service.uploads.acceptance import Acceptance
from media_service.uploads.admission import Admission
from media_service.uploads.finish import Finisher
from media_service.uploads.load import UploadLoad
from media_service.uploads.model import Chunk, NewUpload, UploadResult, UploadSpec
from media_service.uploads.parts.collect import Collector
from media_service.uploads.service import UploadService
from media_service.uploads.stream_runner import StreamRunner
from tests.support.job_claims import claim as claim_next
from tests.support.killable_renditions import RenditionHarness
from tests.support.media.small_files import jpeg

ANN = Principal("ann")

NOW = timedelta(0)

DAY = timedelta(days=1)


@dataclass
class Service:
    """One store, with the components that write to it and maintain it."""

    database: Database
    store: BlobStore
    older_than: timedelta = NOW

    def __post_init__(self) -> None:
        acceptance = Acceptance(1 << 30, 1 << 30, AllowedTypes(("image/*", "video/*")))
        self.finisher = Finisher(self.database, self.store, acceptance)
        load = UploadLoad()
        self.runner = StreamRunner(Admission(100, load))
        self.uploads = UploadService(
            self.database,
            self.database,
            Creation(self.database),
            self.store,
            self.finisher,
            acceptance,
            Collector(self.database, self.store, acceptance, DAY),
            self.runner,
            load,
            max_open=100,
            expiry=DAY,
            timeout=timedelta(seconds=60),
        )

    @property
    def driver(self) -> Driver:
        return self.store.driver

    async def upload(self, data: bytes | None = None, blob_id: str | None = None) -> str:
        """Stores an image in one step; returns its media id."""
        new = NewUpload(UploadSpec(), Owner("user", "ann"))
        if blob_id:
            new = replace(new, blob_id=blob_id)
        await self.finisher.finish_in_one_step(ANN, new, data or jpeg(), Checksums())
        return new.media_id

    async def media(self, media_id: str) -> Media | None:
        async with self.database.connection() as db:
            return await catalogue.get(db, media_id)

    async def known(self, media_id: str) -> Media:
        media = await self.media(media_id)
        assert media is not None
        return media

    async def execute(self, sql: str, *params: object) -> list[dict[str, object]]:
        async with self.database.connection() as db:
            done = await db.execute(sql.encode(), params)
            return await done.fetchall() if done.description is not None else []

    def reconciler(self, older_than: timedelta | None = None) -> Reconciler:
        older_than = self.older_than if older_than is None else older_than
        return Reconciler(self.database, {"raw": self.store}, older_than)

    async def reconcile(
        self,
        *,
        repair: bool = False,
        checksums: bool = True,
        older_than: timedelta | None = None,
    ) -> list[Finding]:
        """Returns the findings, or with `repair` those that remain."""
        found: list[Finding] = []
        reconciler = self.reconciler(older_than)

        async def report(finding: Finding) -> None:
            if not repair or not await reconciler.repair(finding):
                found.append(finding)

        for comparison in reconciler.comparisons(report).values():
            await comparison.blobs(lambda done, total: None, checksums=checksums)
            await comparison.objects()
            await comparison.open_blobs()
        return found

    async def kinds(self, **options: object) -> list[Kind]:
        return sorted([one.kind for one in await self.reconcile(**options)])  # type: ignore[arg-type]

    async def claim(self, kind: JobKind) -> Claim:
        """Claims the job of this kind that is due."""
        async with asyncio.timeout(20):
            while True:
                async with self.database.connection() as db:
                    claim = await claim_next(db)
                assert claim is not None, f"there is no {kind} job"
                if claim.kind is kind:
                    return claim


async def reconcile_renditions(harness: RenditionHarness) -> list[Finding]:
    """Repairs what it can, and returns all findings."""
    found: list[Finding] = []
    reconciler = Reconciler(harness.database, harness.stores, timedelta(0))

    async def report(finding: Finding) -> None:
        found.append(finding)
        await reconciler.repair(finding)

    for comparison in reconciler.comparisons(report).values():
        await comparison.blobs(lambda done, total: None, checksums=True)
        await comparison.objects()
        await comparison.open_blobs()
    return found


async def opened(service: Service) -> list[OpenBlob]:
    return [blob async for blob in service.driver.list_open()]


async def session(service: Service, data: bytes) -> str:
    """Creates an upload that has all its bytes but is not completed."""
    (created,) = await service.uploads.create(ANN, [(UploadSpec(), None)])
    assert isinstance(created, UploadResult)
    upload_id = created.upload.upload_id
    await service.uploads.append(ANN, upload_id, chunks(data))
    return upload_id


async def chunks(data: bytes) -> AsyncGenerator[Chunk, None]:
    for start in range(0, len(data), 1 << 20):
        yield Chunk(data[start : start + (1 << 20)])
