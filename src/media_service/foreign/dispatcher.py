"""Gives jobs to foreign workers, and takes what they report.

A job that is out is RUNNING, with a fence and a lease like that of any worker. No process remembers
it: any dispatcher takes the next message about it, and the fence decides whether it still counts.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Self

import msgspec
from aiormq.abc import AbstractChannel, AbstractConnection, DeliveredMessage

from media_service.access.link_signer import LinkSigner
from media_service.clock import now
from media_service.codecs.pipeline.pipeline import stored_pipeline
from media_service.db.database import Database
from media_service.db.transaction import Connection
from media_service.errors import (
    FailedPrecondition,
    Fault,
    MediaError,
    PermissionDenied,
    Reason,
    ResourceExhausted,
    Unavailable,
)
from media_service.foreign import exchange
from media_service.foreign.messages import (
    FAILED,
    PROCESSED,
    PROGRESS,
    Failed,
    Process,
    Processed,
    Progress,
    Target,
    decode,
)
from media_service.foreign.results import ForeignResults
from media_service.foreign.sources import Sources
from media_service.foreign.tokens import JobToken
from media_service.ids import new_id
from media_service.jobs.attempt import ATTEMPTS, MAX_LOST_LEASES, backoff, take, to_fault
from media_service.jobs.fair_queue import FairQueue
from media_service.jobs.looks import notified
from media_service.jobs.model import Claim, JobKind, JobState
from media_service.jobs.queries import claimed_jobs, claiming
from media_service.media import queries as media_queries
from media_service.media.model import Media
from media_service.media.reader import not_found
from media_service.media.service import readable
from media_service.rabbitmq.broker import REFUSALS, Broker, answer
from media_service.renditions.pipeline_inputs import overlay_of
from media_service.renditions.replacing import remove_replaced
from media_service.uploads.results import result_url

log = logging.getLogger(__name__)

SETTING = "MEDIA_RABBITMQ_URL"
# How long a job may wait for a foreign worker. Then it is published anew.
START = timedelta(hours=1)
# Within this time, a worker that has taken a job must report.
HEARTBEAT = timedelta(minutes=2)
# What workers are told, so that a report may be late.
HEARTBEAT_SECONDS = 30
# How long the URLs of a job work. Without reports, the job ends much sooner.
URLS = timedelta(hours=24)
# The time of a result to be verified; renewed while it is.
VERIFYING = timedelta(minutes=2)
# With MEDIA_JOBS_TRANSPORT=rabbitmq, notifications of jobs go to workers only.
POLL_SECONDS = 1.0
FULL_SECONDS = 2.0
# How many messages a dispatcher handles at once.
PREFETCH = 8
TRANSIENT = (Unavailable, ResourceExhausted)
OTHERS = frozenset(JobKind) - {JobKind.FOREIGN}


class Dispatcher:
    """Runs within a context. `ready`: as in `Worker`."""

    def __init__(
        self,
        database: Database,
        url: str,
        links: LinkSigner,
        rest_url: str,
        results: ForeignResults,
        ready: Callable[[], bool],
    ) -> None:
        """Raises ValueError if the URL is not valid."""
        self._database = database
        self._broker = Broker(url, SETTING, self._session)
        self._links = links
        self._rest_url = rest_url
        self._sources = Sources(links, rest_url)
        self._results = results
        self._ready = ready
        self._queue = FairQueue(OTHERS, holds_slots=False)
        self._wake = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Raises Refused."""
        await self._broker.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._broker.__aexit__()

    @property
    def up(self) -> bool:
        return self._broker.up

    @asynccontextmanager
    async def _session(
        self, connection: AbstractConnection
    ) -> AsyncIterator[Collection[AbstractChannel]]:
        sending = await answer(connection.channel())
        await answer(exchange.declare(sending))
        taking = await answer(connection.channel(publisher_confirms=False))
        await answer(taking.basic_qos(prefetch_count=PREFETCH))
        for name in (PROGRESS, PROCESSED, FAILED):
            await answer(taking.basic_consume(name, self._received))
        sender = asyncio.create_task(self._send(sending), name="foreign jobs")
        try:
            yield [sending, taking]
        finally:
            sender.cancel()
            await asyncio.wait([sender])

    # Jobs

    async def _send(self, channel: AbstractChannel) -> None:
        """Publishes jobs until the connection is lost."""
        with notified(self._database, self._wake.set):
            while True:
                self._wake.clear()
                pause = POLL_SECONDS
                try:
                    if self._ready() and await self._send_all(channel):
                        pause = FULL_SECONDS
                except Unavailable as error:
                    log.warning("cannot dispatch jobs: %s", error.message)
                    if error.reason is Reason.BROKER_UNAVAILABLE:
                        self._broker.lost()
                        return
                except Exception:  # the loop must survive any error
                    log.exception("cannot dispatch jobs")
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._wake.wait()

    async def _send_all(self, channel: AbstractChannel) -> bool:
        """Publishes all jobs that wait. Returns True if the queue is full."""
        async with self._database.connection() as db:
            await claiming.release_due(db)
        while claim := await take(self._database, self._claim):
            if claim.lost_leases >= MAX_LOST_LEASES:
                why = f"{claim.lost_leases} foreign workers did not finish the job."
                await self._end(claim, Fault(Reason.INTERNAL, why))
                continue
            try:
                sent = await exchange.send_job(
                    channel,
                    msgspec.json.encode(await self._message(claim)),
                    claim.job_id,
                    START.total_seconds(),
                )
            except Unavailable:
                await self._put_back(claim)
                raise
            except MediaError as error:
                await self._fail(claim, error)
                continue
            if not sent:
                await self._put_back(claim)
                return True
        return False

    async def _claim(self, db: Connection) -> Claim | None:
        return await self._queue.claim_of_owners(db, START, heavy=True)

    async def _message(self, claim: Claim) -> Process:
        """Raises NotFound (MEDIA_NOT_FOUND), and the errors of `overlay_of` and `readable`."""
        media, overlays = await self._media(claim)
        blob_id, expire = new_id(), now() + URLS
        job = (claim.job_id, claim.fence)
        return Process(
            job_id=claim.job_id,
            media_id=claim.subject_id,
            token=JobToken(*job, blob_id, media.version).sign(self._links, expire),
            attempt=claim.attempt,
            operations=claim.pipeline.split(","),
            source=self._sources.of(media, expire),
            overlays=[self._sources.of(each, expire) for each in overlays],
            results=[
                Target(
                    rendition=claim.rendition,
                    url=result_url(self._links, self._rest_url, *job, blob_id, expire),
                )
            ],
            expire_time=text_of(now() + START),
            heartbeat_seconds=HEARTBEAT_SECONDS,
        )

    async def _media(self, claim: Claim) -> tuple[Media, list[Media]]:
        """The media and its overlays."""
        overlay_ids = stored_pipeline(claim.pipeline).overlays
        async with self._database.connection() as db:
            found = await media_queries.get_many(db, [claim.subject_id, *overlay_ids])
        media = found.get(claim.subject_id)
        if media is None:
            raise not_found(claim.subject_id)
        overlays = [overlay_of(media, found.get(each), each) for each in overlay_ids]
        for each in (media, *overlays):
            readable(each)
        return media, overlays

    async def _put_back(self, claim: Claim) -> None:
        with suppress(Unavailable):  # otherwise, its lease ends
            async with self._database.connection() as db:
                await claimed_jobs.put_back(db, claim, wake=False)

    # Replies

    async def _received(self, message: DeliveredMessage) -> None:
        """Handles a message of a foreign worker. One that cannot be handled now comes again."""
        tag, name = message.delivery_tag, message.routing_key or ""
        if tag is None:
            return
        with suppress(Unavailable, *REFUSALS):  # if the connection is lost, the message comes again
            try:
                await self._handle(name, message.body)
            except ValueError as error:
                log.warning("a message %s was rejected: %s", name, error)
                await answer(message.channel.basic_nack(tag, requeue=False))
            except Exception as error:  # also of the database
                log.warning("a message %s waits: %s", name, error)
                await asyncio.sleep(FULL_SECONDS)
                await answer(message.channel.basic_nack(tag, requeue=True))
            else:
                await answer(message.channel.basic_ack(tag))

    async def _handle(self, name: str, body: bytes) -> None:
        """Raises ValueError for a message that is none."""
        message = decode(name, body)
        try:
            token = JobToken.open(self._links, message.token)
        except PermissionDenied:
            raise ValueError("its token is not valid") from None
        async with self._database.connection() as db:
            claim = await claimed_jobs.held(db, token.job_id, token.fence)
        if claim is None:
            log.info("a message %s of job %s comes too late", name, token.job_id)
            await self._discard(token)
        elif isinstance(message, Progress):
            await self._progress(claim, message)
        elif isinstance(message, Processed):
            await self._processed(claim, token, message)
        else:
            await self._failed(claim, message)
            await self._discard(token)

    async def _progress(self, claim: Claim, message: Progress) -> None:
        async with self._database.connection() as db:
            if await claimed_jobs.renew(db, claim, HEARTBEAT):
                await claimed_jobs.report(db, claim, message.stage, min(message.percent, 99))

    async def _processed(self, claim: Claim, token: JobToken, message: Processed) -> None:
        keeping = asyncio.create_task(self._keep(claim))
        try:
            if len(message.results) > 1:
                log.warning("job %s has one result, not %d", claim.job_id, len(message.results))
            if not await self._results.accept(claim, token, message.results[0]):
                await self._put_back(claim)  # unless it has ended
        except Unavailable:
            raise  # the message comes again
        except MediaError as error:
            await self._fail(claim, error)
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])
        await self._discard(token)

    async def _keep(self, claim: Claim) -> None:
        """Renews the lease while a result is verified."""
        while True:
            with suppress(Unavailable):
                async with self._database.connection() as db:
                    await claimed_jobs.renew(db, claim, VERIFYING)
            await asyncio.sleep(VERIFYING.total_seconds() / 4)

    async def _failed(self, claim: Claim, message: Failed) -> None:
        log.warning("a foreign worker failed job %s: %s %r", claim.job_id, *said(message))
        error = FailedPrecondition(
            Reason.FOREIGN_WORKER_FAILED,
            f"A foreign worker could not do the job: {message.code}.",
            code=message.code,
        )
        if message.retriable and claim.try_number < ATTEMPTS:
            async with self._database.connection() as db:
                delay = backoff(claim.try_number)
                await claimed_jobs.retry_later(db, claim, delay, to_fault(error))
        else:
            await self._fail(claim, error)

    async def _fail(self, claim: Claim, error: MediaError) -> None:
        log.warning("job %s failed permanently: %s", claim.job_id, error.message)
        await self._end(claim, to_fault(error))

    async def _end(self, claim: Claim, fault: Fault) -> None:
        async with self._database.transaction() as tx:
            await media_queries.lock(tx, claim.subject_id)  # media before jobs, as everywhere
            if await claimed_jobs.finish(tx, claim, JobState.FAILED, fault):
                await remove_replaced(tx, claim.subject_id, [claim.rendition])

    async def _discard(self, token: JobToken) -> None:
        with suppress(MediaError):  # otherwise, reconciliation finds it
            await self._results.discard(token.blob_id)


def said(message: Failed) -> Sequence[str]:
    return message.code, message.message


def text_of(time: datetime) -> str:
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")
