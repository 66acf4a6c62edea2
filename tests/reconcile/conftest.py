"""A service's parts on every kind of store, and what a reconciler says of them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from media_service.access.owner import Owner
from media_service.access.principal import Principal
from media_service.db.database import Database
from media_service.ids import new_id
from media_service.jobs.model import Claim, JobKind
from media_service.media import queries as catalogue
from media_service.media.model import Media
from media_service.reconcile.model import Finding, Kind
from media_service.reconcile.service import Reconciler
from media_service.storage.blob_store import BlobStore
from media_service.storage.checksums import Checksums
from media_service.storage.driver import Driver
from media_service.storage.drivers.gcs.driver import GcsDriver
from media_service.storage.drivers.local.driver import LocalDriver
from media_service.storage.drivers.memory import MemoryDriver
from media_service.storage.drivers.s3.driver import S3Driver
from media_service.storage.drivers.s3.location import S3Location
from media_service.uploads.acceptance import Acceptance
from media_service.uploads.admission import Admission
from media_service.uploads.finish import Finisher
from media_service.uploads.model import NewUpload, UploadSpec
from media_service.uploads.parts.collect import Collector
from media_service.uploads.running import Running
from media_service.uploads.service import UploadService
from tests.support.job_claims import claim as claim_next
from tests.support.media.small_files import jpeg
from tests.support.stores.gcs_server import GCS_BUCKET, gcs_server
from tests.support.stores.s3_server import ACCESS, BUCKET, SECRET, s3_server

ANN = Principal("ann")
NOW = timedelta(0)

DAY = timedelta(days=1)


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("s3")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def gcs_endpoint() -> Iterator[str]:
    with gcs_server() as endpoint:
        yield endpoint


@pytest.fixture(params=["memory", "local", "s3", "gcs"])
async def driver(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Driver]:
    driver: Driver
    match request.param:
        case "memory":
            driver = MemoryDriver()
        case "local":
            driver = LocalDriver(tmp_path / "raw")
        case "s3":
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
            endpoint = request.getfixturevalue("s3_endpoint")
            region = "us-east-1"
            driver = S3Driver(
                S3Location(
                    BUCKET, f"{new_id()}/", endpoint=endpoint, region=region, path_style=True
                )
            )
        case _:
            endpoint = request.getfixturevalue("gcs_endpoint")
            driver = GcsDriver(GCS_BUCKET, f"{new_id()}/", endpoint)
    yield driver
    await driver.close()


@dataclass
class Service:
    """One store, with all that writes to it and looks after it."""

    database: Database
    store: BlobStore
    older_than: timedelta = NOW

    def __post_init__(self) -> None:
        acceptance = Acceptance(1 << 30, 1 << 30, ("image/*", "video/*"))
        self.finisher = Finisher(self.database, self.store, acceptance)
        self.running = Running(Admission(100))
        self.uploads = UploadService(
            self.database,
            self.store,
            self.finisher,
            acceptance,
            Collector(self.database, self.store, acceptance, DAY),
            self.running,
            expiry=DAY,
            timeout=timedelta(seconds=60),
        )

    @property
    def driver(self) -> Driver:
        return self.store.driver

    async def upload(self, data: bytes | None = None, blob_id: str | None = None) -> str:
        """Stores a picture in one step; returns its media id."""
        new = NewUpload(UploadSpec(), Owner("user", "ann"))
        if blob_id:
            new = replace(new, blob_id=blob_id)
        await self.finisher.finish_in_one_step(new, data or jpeg(), Checksums())
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
        """What is found; with `repair`, what of it remains."""
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
        """The job of this kind that is due."""
        async with asyncio.timeout(20):
            while True:
                async with self.database.connection() as db:
                    claim = await claim_next(db)
                assert claim is not None, f"there is no {kind} job"
                if claim.kind is kind:
                    return claim


@pytest.fixture
async def service(database: Database, driver: Driver) -> AsyncIterator[Service]:
    service = Service(database, BlobStore("raw", driver))
    yield service
    await service.running.close()


@pytest.fixture
async def on_disk(database: Database, store: BlobStore) -> AsyncIterator[Service]:
    """Only on a local disk, for what no store does differently."""
    service = Service(database, store)
    yield service
    await service.running.close()
