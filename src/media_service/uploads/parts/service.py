"""Use cases of numbered parts: put, list, sign, and put through a signed link."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from media_service.access.link_signer import LinkSigner, invalid
from media_service.access.policy import authorize
from media_service.access.principal import Principal
from media_service.access.role import Role
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
from media_service.media.policy import at_most, too_large
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
from media_service.uploads.access import check_project, load, load_to_write
from media_service.uploads.errors import not_active, upload_not_found
from media_service.uploads.model import Chunk, Part, Upload, UploadState
from media_service.uploads.new_session import give_new_session, session_lost
from media_service.uploads.parts import queries as part_queries
from media_service.uploads.parts.check import ListedPart, check_number, other_bytes
from media_service.uploads.parts.collect import Collector, parts_changed
from media_service.uploads.parts.receive import PartStream
from media_service.uploads.results import RESULT, ResultReceiver
from media_service.uploads.stream_runner import StreamRunner

# The purpose encoded in links to this service.
PUT = "put"


@dataclass(frozen=True, slots=True)
class SignedPart:
    """A signed request that sends one part without further authentication."""

    number: int
    request: SignedRequest
    expire_time: datetime


class PartService:
    """Receives and signs parts. Streams use `receiving`, as in `UploadService`. `rest_url` is the
    absolute base URL of this service's own signed links."""

    def __init__(
        self,
        database: Database,
        receiving: Database,
        store: BlobStore,
        acceptance: Acceptance,
        collector: Collector,
        runner: StreamRunner,
        links: LinkSigner,
        results: ResultReceiver,
        *,
        rest_url: str,
        timeout: timedelta,
    ) -> None:
        self._database = database
        self._receiving = receiving
        self._store = store
        self._acceptance = acceptance
        self._collector = collector
        self._runner = runner
        self._links = links
        self._results = results
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
        """Stores one part. Idempotent. `size` is the size of the part in bytes, if known."""
        with self._runner.admit(principal.charged) as place:
            upload, found = await self._find(principal, upload_id, number)
            limit = self._most(upload)
            excess = self._excess(upload, limit)
            if size is not None and size < limit:
                limit, excess = size, size_exceeded(size_bytes=size)
            stream = PartStream(limit, excess, self._timeout)
            with self._collector.fenced(stream, upload):
                storing = self._store_part(stream, upload, number, size, found)
                return await self._runner.receive_stream(place, stream, storing, chunks)

    async def put_signed(self, token: str, chunks: AsyncGenerator[Chunk, None]) -> Part:
        """Stores the part that a link was signed for. Idempotent. Raises PermissionDenied
        (LINK_INVALID) if the link, its upload, or its claim to the part is no longer valid."""
        if self._links.purpose(token) == RESULT:
            return await self._results.put(token, chunks)
        signed = self._links.open(PUT, token)
        link = ListedPart(signed["n"], signed.get("s"), signed.get("c"))
        signer = self._links.signer(signed)
        upload, found = await self._linked(signed, link, signer)
        with self._runner.admit(signer.charged) as place:
            limit = self._most(upload)
            excess = self._excess(upload, limit)
            if link.size is not None:
                limit, excess = link.size, size_exceeded(size_bytes=link.size)
            stream = PartStream(limit, excess, self._timeout)
            with self._collector.fenced(stream, upload):
                storing = (
                    self._store_part(stream, upload, link.number, link.size, found, link)
                    if link.bound or (found is not None and not found.replaceable)
                    else self._store_replaceable(stream, upload, link)
                )
                return await self._runner.receive_stream(place, stream, storing, chunks)

    async def _linked(
        self, signed: Mapping[str, Any], link: ListedPart, signer: Principal
    ) -> tuple[Upload, Part | None]:
        """Returns the upload and the part of a link. Raises PermissionDenied (LINK_INVALID) if the
        link is no longer valid."""
        async with self._receiving.connection() as db:
            upload, part = await part_queries.find(db, signed["u"], link.number, signer)
        if upload is None or upload.state is not UploadState.ACTIVE:
            raise invalid()
        if upload.project_role < Role.EDITOR:  # the signer's
            raise invalid()
        if link.bound:
            holds = (
                part is not None
                and part.sealed
                and (upload.parts_since is not None or part.stored)
                and (part.size, part.crc32c) == (link.size, link.crc32c)
            )
        else:  # no stream has continued the upload since it was signed
            holds = upload.parts_since is not None and upload.parts_since == signed["p"]
        if not holds:
            raise invalid()
        return upload, part

    async def list_parts(
        self, principal: Principal, upload_id: str, after: int, limit: int
    ) -> list[Part]:
        """Returns stored and claimed parts with numbers above `after`, by number. For a part that a
        stream is still writing, the size is the number of counted bytes."""
        async with self._database.connection() as db:
            upload = await load(db, principal, upload_id)
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
        """Claims parts, and returns a signed request for each. If `wanted` is empty, signs one
        request for the whole file."""
        async with self._database.connection() as db:
            upload = active(await load_to_write(db, principal, upload_id))
        named = list(wanted) or [whole(upload)]
        if len({part.number for part in named}) < len(named):
            raise invalid_parts("must name each part once")
        if any(part.size == 0 for part in named):
            raise invalid_parts("must have one byte or more")
        async with self._database.connection() as db:
            known = await part_queries.some(db, upload_id, [part.number for part in named])
        for part in named:
            check_number(upload, part.number, known.get(part.number))
        taken = await self._begin(upload)
        parts = [
            replace(claim_of(taken, part.number, part.size, part.crc32c), signed=True)
            for part in named
            if part.size is not None and part.crc32c is not None
        ]
        expire = now() + lifetime
        # Signing may refuse a part, so it comes before the claim, which cannot be undone.
        requests = await self._requests(principal, taken, parts, lifetime, expire)
        requests |= {
            part.number: self._own_request(principal, taken, part, expire)
            for part in named
            if not part.bound
        }
        kept = await self._collector.claim(taken, parts, lifetime)
        requests |= await self._requests(principal, taken, kept.values(), lifetime, expire)
        return [SignedPart(part.number, requests[part.number], expire) for part in named]

    async def _requests(
        self,
        signer: Principal,
        upload: Upload,
        parts: Iterable[Part],
        lifetime: timedelta,
        expire: datetime,
    ) -> dict[int, SignedRequest]:
        found = {}
        for part in parts:
            found[part.number] = await self._request(signer, upload, part, lifetime, expire)
            await asyncio.sleep(0)  # signing a thousand parts must not block the event loop
        return found

    async def _request(
        self,
        signer: Principal,
        upload: Upload,
        part: Part,
        lifetime: timedelta,
        expire: datetime,
    ) -> SignedRequest:
        """A request directly to the store if the store supports it, or to this service."""
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
        listed = ListedPart(part.number, part.size, part.crc32c)
        return self._own_request(signer, upload, listed, expire)

    def _own_request(
        self, signer: Principal, upload: Upload, part: ListedPart, expire: datetime
    ) -> SignedRequest:
        """A request to this service, bound to the known size and CRC32C of the part."""
        if part.size is not None and part.size > (limit := self._most(upload)):
            raise self._excess(upload, limit)
        claims: dict[str, Any] = {"u": upload.upload_id, "n": part.number}
        if part.size is not None:
            claims["s"] = part.size
        if part.crc32c is not None:
            claims["c"] = part.crc32c
        if not part.bound:
            claims["p"] = upload.parts_since
        # A token's expiry is in whole seconds. Round up, so that it lasts at least until `expire`.
        token = self._links.sign(PUT, claims, expire + timedelta(seconds=1), signer)
        return SignedRequest(f"{self._rest_url}/v1/signed/{token}", {})

    async def _store_part(
        self,
        stream: PartStream,
        upload: Upload,
        number: int,
        size: int | None,
        found: Part | None,
        link: ListedPart | None = None,
    ) -> Part:
        """Stores the bytes of a part. Continues if the caller disconnects.

        `found` is the part as claimed or stored before. If the bytes came through `link`, they must
        match it.
        """
        check_number(upload, number, found)
        if found is not None and found.stored:
            await stream.receive(None)
            check_link(stream, link)
            if (stream.size, stream.crc32c) != (found.size, found.crc32c):
                raise other_bytes(number, upload.next_part)
            return found
        taken = await self._begin(upload, of_claim=link is not None)
        name = PartName(number, taken.epoch)
        key = self._store.key(taken.blob_id)
        expected = self._expected_range(taken, number, size) if size else None
        writer = await self._store.driver.open_part(key, taken.store_session, name, expected)
        try:
            await stream.receive(writer)
            check_link(stream, link)
            part = claim_of(taken, number, stream.size, stream.crc32c)
            if self._store.driver.limits.numbered:  # other bytes would overwrite these
                await self._collector.claim(taken, [part])
            await self._seal(writer, taken)
        except BaseException:
            await writer.discard()
            raise
        # Until this call, no row refers to the stored part: `collect` finds only signed parts.
        try:
            earlier = await self._collector.confirm(taken, [part])
        except Unavailable:
            raise  # the part may have been counted
        except MediaError:
            await writer.discard()
            raise
        if number in earlier:
            await writer.discard()  # another caller stored the same bytes first
        return earlier.get(number, replace(part, stored=True))

    async def _store_replaceable(
        self, stream: PartStream, upload: Upload, link: ListedPart
    ) -> Part:
        """Like `_store_part`, for a link that is not bound to both size and CRC32C."""
        driver = self._store.driver
        taken = await self._begin(upload, of_claim=True)
        key, name = self._store.key(taken.blob_id), PartName(link.number, taken.epoch)
        # Without an expected range, because only a separately stored part can be removed.
        writer = await driver.open_part(key, taken.store_session, name)
        alone = True
        try:
            await stream.receive(writer)
            check_link(stream, link)
            part = claim_of(taken, link.number, stream.size, stream.crc32c)
            if driver.limits.numbered:
                alone = await self._collector.claim_replacement(taken, part)
            await self._seal(writer, taken)
            alone &= not (driver.limits.numbered and writer.resent)
        except BaseException:
            await writer.discard()
            raise
        try:
            recorded, replaced = await self._collector.replace(taken, part, alone=alone)
        except Unavailable:
            raise  # the part may have been recorded
        except MediaError:
            await writer.discard()
            raise
        if recorded.epoch != part.epoch:
            await writer.discard()  # another caller stored the same bytes first
        if replaced is not None:
            with suppress(MediaError):  # if this fails, it is removed when the upload ends
                await driver.remove_part(key, taken.store_session, replaced.name)
        return recorded

    async def _seal(self, writer: PartWriter, upload: Upload) -> None:
        try:
            await writer.seal()
        except DataLoss as error:  # the store session ended in the meantime
            raise await session_lost(
                self._receiving, upload.upload_id, upload.store_session
            ) from error

    async def _begin(self, upload: Upload, *, of_claim: bool = False) -> Upload:
        """Starts a new epoch for this caller, and returns the upload. With `of_claim`, raises
        PermissionDenied (LINK_INVALID) if the claims that `upload` has are no longer valid."""
        since = upload.parts_since if of_claim else None
        async with self._receiving.connection() as db:
            taken = await part_queries.begin(db, upload.upload_id, since)
            found = taken or await queries.get(db, upload.upload_id)
            if taken is not None and taken.parts_since == taken.epoch:
                db.notify(parts_changed(taken))
        if taken is None:
            raise invalid() if of_claim else not_active(found or upload)
        failpoint("part.begin.after")
        if taken.settled:
            return taken
        return await self._runner.to_its_end(give_new_session(self._receiving, self._store, taken))

    async def _find(
        self, principal: Principal, upload_id: str, number: int
    ) -> tuple[Upload, Part | None]:
        """Returns an ACTIVE upload to which the caller may add bytes, and one of its parts."""
        async with self._receiving.connection() as db:
            upload, part = await part_queries.find(db, upload_id, number, principal)
        return active(check_project(authorize(upload, upload_not_found(upload_id)))), part

    def _most(self, upload: Upload) -> int:
        """The maximum size, in bytes, of a part that is sent through this service."""
        most = at_most(self._acceptance.of(upload).max_size, upload.spec.size_limit)
        return at_most(most, self._store.driver.limits.max_part_size or None)

    def _expected_range(self, upload: Upload, number: int, size: int) -> ExpectedRange | None:
        """The position of a part in the file, assuming that all missing parts before it have the
        same size."""
        offset = upload.committed_size + (number - upload.next_part) * size
        most = upload.spec.size_limit or self._acceptance.of(upload).max_size
        return ExpectedRange(offset, size) if 0 <= offset <= most - size else None

    def _excess(self, upload: Upload, limit: int) -> InvalidArgument:
        if limit == upload.spec.size_limit:
            return over_limit(upload.spec)
        if limit == self._acceptance.of(upload).max_size:
            return too_large(limit + 1, limit)
        return InvalidArgument(
            Reason.CHUNK_TOO_LARGE,
            f"A part can have at most {limit} bytes. Send more parts, or use SignUpload.",
            max_chunk_size_bytes=limit,
        )


def active(upload: Upload) -> Upload:
    """Returns the upload if it is ACTIVE. Otherwise, raises FailedPrecondition
    (UPLOAD_NOT_ACTIVE)."""
    if upload.state is not UploadState.ACTIVE:
        raise not_active(upload)
    return upload


def claim_of(upload: Upload, number: int, size: int, crc32c: int) -> Part:
    """A part in the upload's epoch that is not stored yet."""
    return Part(number, 0, size, crc32c, upload.epoch, sealed=True, stored=False)


def whole(upload: Upload) -> ListedPart:
    return ListedPart(1, upload.spec.size_bytes, upload.spec.checksums.crc32c)


def invalid_parts(why: str) -> InvalidArgument:
    return InvalidArgument(Reason.INVALID_FIELD, f"The parts {why}.", (("parts", why),))


def check_link(stream: PartStream, link: ListedPart | None) -> None:
    """Checks that the bytes match the size and CRC32C of a link. Raises Unavailable
    (INCOMPLETE_BODY) and InvalidArgument (CHECKSUM_MISMATCH)."""
    if link is None:
        return
    if link.size is not None and stream.size != link.size:
        raise Unavailable(
            Reason.INCOMPLETE_BODY,
            f"The body has {stream.size} of the {link.size} bytes that the URL was signed for.",
        )
    check_checksums(Checksums(link.crc32c), Checksums(stream.crc32c))
