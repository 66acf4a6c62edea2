"""Use cases of parts that callers name: put, list, sign, and put by a signed link."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from media_service.access.link_signer import LinkSigner, invalid
from media_service.access.permission import Permission
from media_service.access.policy import authorize
from media_service.access.principal import Principal
from media_service.clock import now
from media_service.db.database import Database
from media_service.errors import (
    DataLoss,
    InvalidArgument,
    MediaError,
    Reason,
    Unavailable,
)
from media_service.failpoints import failpoint
from media_service.storage.blob_store import BlobStore
from media_service.storage.checksums import Checksums
from media_service.storage.driver import ExpectedRange, PartName, PartWriter, SignedRequest
from media_service.uploads import queries
from media_service.uploads.acceptance import (
    Acceptance,
    check_checksums,
    over_limit,
    size_exceeded,
)
from media_service.uploads.ledger import load, not_active, upload_not_found
from media_service.uploads.model import Chunk, Part, Upload, UploadState
from media_service.uploads.parts import queries as part_queries
from media_service.uploads.parts.check import ListedPart, check_number, other_bytes
from media_service.uploads.parts.collect import Collector, parts_changed
from media_service.uploads.parts.receive import PartStream
from media_service.uploads.running import Running
from media_service.uploads.succession import lost, succeed

# What a link of ours is for.
PUT = "put"


@dataclass(frozen=True, slots=True)
class SignedPart:
    """How to send one part, past whatever asks who calls."""

    number: int
    request: SignedRequest
    expire_time: datetime


class PartService:
    """`rest_url`: absolute, where our own signed links lead."""

    def __init__(
        self,
        database: Database,
        store: BlobStore,
        acceptance: Acceptance,
        collector: Collector,
        running: Running,
        links: LinkSigner,
        *,
        rest_url: str,
        timeout: timedelta,
    ) -> None:
        self._database = database
        self._store = store
        self._acceptance = acceptance
        self._collector = collector
        self._running = running
        self._links = links
        self._rest_url = rest_url
        self._timeout = timeout

    async def put(
        self,
        principal: Principal,
        upload_id: str,
        number: int,
        chunks: AsyncGenerator[Chunk, None],
        size: int | None,
    ) -> Part:
        """Stores one part; idempotent. `size`: what it will have, if that is known."""
        with self._running.place() as place:
            upload, found = await self._find(principal, upload_id, number)
            limit = self._most(upload)
            excess = self._excess(upload, limit)
            if size is not None and size < limit:
                limit, excess = size, size_exceeded(size_bytes=size)
            stream = PartStream(limit, excess, self._timeout)
            with self._collector.fenced(stream, upload):
                storing = self._store_part(stream, upload, number, size, found)
                return await self._running.take_in(place, stream, storing, chunks)

    async def put_signed(self, token: str, chunks: AsyncGenerator[Chunk, None]) -> Part:
        """Stores the part a link was made for; idempotent. Raises PermissionDenied (LINK_INVALID)
        if the link, its upload, or its claim to the part is no good any more."""
        signed = self._links.open(PUT, token)
        with self._running.place() as place:
            upload, part = await self._claimed(signed)
            stream = PartStream(part.size, size_exceeded(size_bytes=part.size), self._timeout)
            with self._collector.fenced(stream, upload):
                storing = self._store_part(
                    stream, upload, part.number, part.size, part, of_claim=True
                )
                return await self._running.take_in(place, stream, storing, chunks)

    async def _claimed(self, signed: Mapping[str, Any]) -> tuple[Upload, Part]:
        """What a link is for, if that still holds."""
        number, size, crc32c = signed["n"], signed["s"], signed["c"]
        async with self._database.connection() as db:
            upload, part = await part_queries.find(db, signed["u"], number)
        if (
            upload is None
            or upload.state is not UploadState.ACTIVE
            or part is None
            or not part.sealed
            or (upload.parts_since is None and not part.stored)
            or (part.size, part.crc32c) != (size, crc32c)
        ):
            raise invalid()
        return upload, part

    async def list_parts(
        self, principal: Principal, upload_id: str, after: int, limit: int
    ) -> list[Part]:
        """Parts, stored or claimed, by number, those after `after`. Of one that a stream is still
        writing: what is counted."""
        upload = await self._load(principal, Permission.UPLOADS_READ, upload_id)
        await self._collector.collect(upload)
        async with self._database.connection() as db:
            return await part_queries.page(db, upload_id, after, limit)

    async def sign(
        self,
        principal: Principal,
        upload_id: str,
        wanted: Sequence[ListedPart],
        lifetime: timedelta,
    ) -> list[SignedPart]:
        """Claims parts, and gives a request for each. None `wanted`: the whole file as one."""
        upload = active(await self._load(principal, Permission.UPLOADS_WRITE, upload_id))
        named = [named_bytes(part) for part in wanted or [whole(upload)]]
        if len({part.number for part in named}) < len(named):
            raise invalid_parts("must name each part once")
        async with self._database.connection() as db:
            known = await part_queries.some(db, upload_id, [part.number for part in named])
        for part in named:
            check_number(upload, part.number, known.get(part.number))
        taken = await self._begin(upload)
        parts = [claim_of(taken, part.number, part.size, part.crc32c) for part in named]
        parts = [replace(part, signed=True) for part in parts]
        expire = now() + lifetime
        # First what may refuse a part, then what decides its bytes for good.
        requests = await self._requests(taken, parts, lifetime, expire)
        kept = await self._collector.claim(taken, parts, lifetime)
        requests |= await self._requests(taken, kept.values(), lifetime, expire)
        return [SignedPart(part.number, requests[part.number], expire) for part in parts]

    async def _requests(
        self, upload: Upload, parts: Iterable[Part], lifetime: timedelta, expire: datetime
    ) -> dict[int, SignedRequest]:
        found = {}
        for part in parts:
            found[part.number] = await self._request(upload, part, lifetime, expire)
            await asyncio.sleep(0)  # a thousand take a while
        return found

    async def _request(
        self, upload: Upload, part: Part, lifetime: timedelta, expire: datetime
    ) -> SignedRequest:
        """The store's own request, or else one to this service."""
        if part.size <= (self._store.driver.limits.max_signed_part_size or 0):
            signed = await self._store.driver.sign_part(
                self._store.key(upload.blob_id),
                upload.store_session,
                part.name,
                part.size,
                part.crc32c,
                lifetime,
            )
            if signed is not None:
                return signed
        if part.size > (limit := self._most(upload)):
            raise self._excess(upload, limit)
        claims = {"u": upload.upload_id, "n": part.number, "s": part.size, "c": part.crc32c}
        # A token counts whole seconds: rounded up, so that it is good for no less than was said.
        token = self._links.sign(PUT, claims, expire + timedelta(seconds=1))
        return SignedRequest(f"{self._rest_url}/v1/signed/{token}", {})

    async def _store_part(
        self,
        stream: PartStream,
        upload: Upload,
        number: int,
        size: int | None,
        found: Part | None,
        *,
        of_claim: bool = False,
    ) -> Part:
        """The part of a put that outlives its caller. `found`: as it was claimed or stored before;
        `of_claim`: its bytes must be those."""
        claimed = found if of_claim else None
        check_number(upload, number, found)
        if found is not None and found.stored:
            await stream.receive(None)
            check_claim(stream, claimed)
            if (stream.size, stream.crc32c) != (found.size, found.crc32c):
                raise other_bytes(number, upload.next_part)
            return found
        taken = await self._begin(upload, of_claim=of_claim)
        name = PartName(number, taken.epoch)
        key = self._store.key(taken.blob_id)
        place = self._place(taken, number, size) if size else None
        writer = await self._store.driver.open_part(key, taken.store_session, name, place)
        try:
            await stream.receive(writer)
            check_claim(stream, claimed)
            part = claim_of(taken, number, stream.size, stream.crc32c)
            if self._store.driver.limits.numbered:  # other bytes would take the place of these
                await self._collector.claim(taken, [part])
            await self._seal(writer, taken)
        except BaseException:
            await writer.discard()
            raise
        # No row names what is stored here before this: only signed parts are looked for.
        try:
            counted = await self._collector.confirm(taken, [part])
        except Unavailable:
            raise  # it may have been counted all the same
        except MediaError:
            await writer.discard()
            raise
        if not counted:
            await writer.discard()  # another brought the same bytes, and was faster
        return part

    async def _seal(self, writer: PartWriter, upload: Upload) -> None:
        try:
            await writer.seal()
        except DataLoss as error:  # a session of the store that ended meanwhile
            raise await lost(self._database, upload.upload_id, upload.store_session) from error

    async def _begin(self, upload: Upload, *, of_claim: bool = False) -> Upload:
        """The upload in an epoch of our own. `of_claim`: only while claims made before hold."""
        since = upload.parts_since if of_claim else None
        async with self._database.connection() as db:
            taken = await part_queries.begin(db, upload.upload_id, since)
            found = taken or await queries.get(db, upload.upload_id)
            if taken is not None and taken.parts_since == taken.epoch:
                db.emit(parts_changed(taken))
        if taken is None:
            raise invalid() if of_claim else not_active(found or upload)
        failpoint("part.begin.after")
        if taken.settled:
            return taken
        return await self._running.to_its_end(succeed(self._database, self._store, taken))

    async def _find(
        self, principal: Principal, upload_id: str, number: int
    ) -> tuple[Upload, Part | None]:
        """An upload that takes bytes, and one of its parts."""
        async with self._database.connection() as db:
            upload, part = await part_queries.find(db, upload_id, number)
        missing = upload_not_found(upload_id)
        return active(authorize(principal, Permission.UPLOADS_WRITE, upload, missing)), part

    async def _load(self, principal: Principal, permission: Permission, upload_id: str) -> Upload:
        async with self._database.connection() as db:
            return await load(db, principal, permission, upload_id)

    def _most(self, upload: Upload) -> int:
        """The most bytes one part may have, of those that come through this service."""
        most = self._store.driver.limits.max_part_size or self._acceptance.max_size
        declared = upload.spec.size_limit
        return most if declared is None else min(most, declared)

    def _place(self, upload: Upload, number: int, size: int) -> ExpectedRange | None:
        """Where a part will lie if those that are not here yet, up to it, are as large."""
        offset = upload.committed_size + (number - upload.next_part) * size
        most = upload.spec.size_limit or self._acceptance.max_size
        return ExpectedRange(offset, size) if 0 <= offset <= most - size else None

    def _excess(self, upload: Upload, limit: int) -> InvalidArgument:
        if limit == upload.spec.size_limit:
            return over_limit(upload.spec)
        return InvalidArgument(
            Reason.CHUNK_TOO_LARGE,
            f"A part may have {limit} bytes here; send more parts, or use SignUpload.",
            max_chunk_size_bytes=limit,
        )


@dataclass(frozen=True, slots=True)
class NamedBytes:
    number: int
    size: int
    crc32c: int


def active(upload: Upload) -> Upload:
    """The same, if it takes bytes. Raises FailedPrecondition (UPLOAD_NOT_ACTIVE)."""
    if upload.state is not UploadState.ACTIVE:
        raise not_active(upload)
    return upload


def claim_of(upload: Upload, number: int, size: int, crc32c: int) -> Part:
    """In the upload's epoch, not stored yet."""
    return Part(number, 0, size, crc32c, upload.epoch, sealed=True, stored=False)


def named_bytes(part: ListedPart) -> NamedBytes:
    if not part.size or part.crc32c is None:
        raise invalid_parts("need size_bytes and crc32c, which their URLs are bound to")
    return NamedBytes(part.number, part.size, part.crc32c)


def whole(upload: Upload) -> ListedPart:
    return ListedPart(1, upload.spec.size_bytes, upload.spec.checksums.crc32c)


def invalid_parts(why: str) -> InvalidArgument:
    return InvalidArgument(Reason.INVALID_FIELD, f"The parts {why}.", (("parts", why),))


def check_claim(stream: PartStream, claimed: Part | None) -> None:
    """Whether the bytes are those a link was made for."""
    if claimed is None:
        return
    if stream.size != claimed.size:
        raise Unavailable(
            Reason.INCOMPLETE_BODY,
            f"The body has {stream.size} of the {claimed.size} bytes the link is for.",
        )
    check_checksums(Checksums(claimed.crc32c), Checksums(stream.crc32c))
