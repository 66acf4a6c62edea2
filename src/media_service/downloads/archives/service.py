"""Creates and opens archives."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from media_service.access.link_signer import LinkSigner, invalid
from media_service.access.policy import authorize, decided
from media_service.access.principal import LINK, Principal
from media_service.access.role import Role
from media_service.blobs.model import Blob
from media_service.clock import now
from media_service.collections.service import CollectionService
from media_service.db.audit_entry import (
    SERVICE,
    AuditedCall,
    AuditEntry,
    Category,
    current_call,
    link_id,
)
from media_service.db.database import Database
from media_service.downloads.archives import queries
from media_service.downloads.archives.errors import (
    archive_not_found,
    changed,
    collection_too_large,
    empty,
    nothing_selected,
    too_many,
)
from media_service.downloads.archives.model import Archive, ArchiveFile
from media_service.downloads.archives.names import Folders
from media_service.downloads.archives.writer import ArchiveWriter, Pieces
from media_service.downloads.archives.zip_format import File, archive_size
from media_service.downloads.read_links import path_name
from media_service.downloads.service import DownloadService, not_downloadable
from media_service.errors import MediaError, NotFound
from media_service.ids import new_id
from media_service.media import queries as media_queries
from media_service.media.content import Content, Use
from media_service.media.filenames import clean, with_extension
from media_service.media.model import Media
from media_service.media.reader import not_found
from media_service.media.service import MediaService, readable
from media_service.share_links import queries as share_links
from media_service.storage.blob_store import BlobStore
from media_service.storage.checksums import Checksums
from media_service.storage.piece_size import PieceSize

PURPOSE = "archive"
ZIP = "application/zip"
TTL = timedelta(days=1)
MOST_FILES = 5000
MOST_COLLECTIONS = 500
# Archives of one caller. The oldest make room.
MOST_ARCHIVES = 50
# Media that are loaded at once.
PAGE = 200


@dataclass(frozen=True, slots=True)
class Selection:
    """What an archive contains: `media_ids` in this order, or those of a collection and of the
    collections in it, or else the media that ListMedia finds. `rendition`: empty for originals."""

    media_ids: Sequence[str] = ()
    filter: str = ""
    project_id: str = ""
    collection_id: str = ""
    rendition: str = ""

    @property
    def empty(self) -> bool:
        return not (self.media_ids or self.filter or self.project_id or self.collection_id)


@dataclass(frozen=True, slots=True)
class Placed:
    """What an archive contains, and its folder; see `Folders`."""

    content: Content
    folder: str = ""


@dataclass(frozen=True, slots=True)
class ArchiveBody:
    """The bytes of an archive, as a `Body`."""

    archive: Archive
    writer: ArchiveWriter

    def read(self, start: int, end: int, size: PieceSize) -> Pieces:
        return self.writer.write(self.archive, start, end, size)


class ArchiveService:
    """`record` writes entries of the audit log: each file is a download of its media."""

    def __init__(
        self,
        database: Database,
        media: MediaService,
        downloads: DownloadService,
        collections: CollectionService,
        stores: Mapping[str, BlobStore],
        signer: LinkSigner,
        rest_url: str,
        record: Callable[[AuditEntry], None],
    ) -> None:
        self._database = database
        self._media = media
        self._downloads = downloads
        self._collections = collections
        self._stores = stores
        self._signer = signer
        self._rest_url = rest_url
        self._record = record

    async def create(
        self, principal: Principal, selection: Selection, filename: str
    ) -> tuple[Archive, str]:
        """Returns an archive, and a URL that reads it without a token until it expires.

        Of media that are named, each must be readable: raises NotFound (MEDIA_NOT_FOUND,
        RENDITION_NOT_FOUND), FailedPrecondition (MEDIA_DELETED, MEDIA_QUARANTINED, MEDIA_FAILED),
        Unavailable (MEDIA_NOT_READY). Of those that a filter or a collection selects, the others
        are left out; raises the errors of ListMedia, NotFound (COLLECTION_NOT_FOUND),
        InvalidArgument (ARCHIVE_TOO_LARGE) and FailedPrecondition (ARCHIVE_EMPTY). Raises
        PermissionDenied (DOWNLOAD_NOT_ALLOWED).
        """
        if not selection.rendition and not principal.may_download:
            raise not_downloadable()
        folders = Folders()
        contents, skipped = await self._contents(principal, selection, folders)
        if not contents:
            raise empty()
        time = now()
        async with self._database.transaction() as tx:
            known = await queries.crc32s(tx, [blob_of(each.content).blob_id for each in contents])
            files = laid_out(contents, selection.rendition, folders, known)
            start, size = archive_size(each.file for each in files)
            name = clean(filename) or "media.zip"
            archive = Archive(new_id(), name, len(files), start, size, time, time + TTL, skipped)
            await queries.insert(tx, archive, principal, files)
            await queries.keep_newest(tx, principal, MOST_ARCHIVES)
            tx.audit(resource_id=archive.archive_id)
        claims = {"archive": archive.archive_id}
        token = self._signer.sign(PURPOSE, claims, archive.expire_time, principal)
        return archive, f"{self._rest_url}/v1/signedArchives/{token}/{path_name(name)}"

    async def open(self, principal: Principal, archive_id: str) -> Content:
        """Returns the bytes of the caller's archive. Raises NotFound (ARCHIVE_NOT_FOUND) and
        Aborted (ARCHIVE_CHANGED)."""
        decided()  # an archive belongs to its creator, and each of its media is authorized
        async with self._database.connection() as db:
            archive = await queries.get(db, archive_id, principal)
        if archive is None:
            raise archive_not_found(archive_id)
        await self._check(principal, archive)
        call = current_call.get() or AuditedCall("", lambda _: SERVICE)
        call.resource_id = archive.archive_id

        def begun(each: ArchiveFile) -> None:
            self._record(entry(call, each))

        writer = ArchiveWriter(self._database, self._stores, begun)
        return Content(
            ArchiveBody(archive, writer),
            f'"{archive.archive_id}"',
            archive.size_bytes,
            Checksums(None, None),
            ZIP,
            archive.filename,
            archive.create_time,
        )

    async def open_signed(self, token: str) -> Content:
        """Like `open`, for the URL of an archive. Raises PermissionDenied (LINK_INVALID) and
        Aborted (ARCHIVE_CHANGED)."""
        call = current_call.get()
        if call:
            call.credential_id = link_id(token)
        claims = self._signer.open(PURPOSE, token)
        signer = self._signer.signer(claims)
        if call and signer.type == LINK:
            call.caller = signer.owner
        try:
            return await self.open(signer, claims["archive"])
        except NotFound:
            raise invalid() from None

    async def _contents(
        self, principal: Principal, selection: Selection, folders: Folders
    ) -> tuple[list[Placed], int]:
        """What a selection contains, and how many media it leaves out."""
        if selection.media_ids:
            named = await self._named(principal, selection.media_ids)
            return [
                Placed(
                    await self._downloads.content(principal, readable(media), selection.rendition)
                )
                for media in named
            ], 0
        if selection.empty:
            selection = await self._all_of_link(principal, selection)
        if selection.collection_id:
            found = await self._collected(principal, selection.collection_id, folders)
        else:
            found = [("", media) for media in await self._listed(principal, selection)]
        contents, skipped = [], 0
        for folder, media in found:
            try:
                contents.append(Placed(self._content_now(media, selection.rendition), folder))
            except MediaError:
                skipped += 1
        return contents, skipped

    async def _all_of_link(self, principal: Principal, selection: Selection) -> Selection:
        """The session of a share link that selects nothing gets all that the link shares."""
        if principal.type != LINK:
            raise nothing_selected()
        async with self._database.connection() as db:
            targets = await share_links.shared_targets(db, principal)
        kind, _, id_ = next(iter(targets), "").partition(":")
        return replace(selection, collection_id=id_) if kind == "collection" else selection

    async def _collected(
        self, principal: Principal, collection_id: str, folders: Folders
    ) -> list[tuple[str, Media]]:
        """The media of a collection and of those in it, each with its folder."""
        tree = await self._collections.tree(principal, collection_id, MOST_COLLECTIONS + 1)
        if len(tree) > MOST_COLLECTIONS:
            raise collection_too_large(f"contains more than {MOST_COLLECTIONS - 1} others")
        paths = {tree[0].collection_id: ""}
        found: list[tuple[str, Media]] = []
        for each in tree:
            if each is not tree[0]:
                paths[each.collection_id] = folders.open(paths[each.path[-2]], each.title)
        for each in tree:
            token = ""
            while True:
                page, token_after = await self._collections.media(
                    principal, each.collection_id, token, PAGE
                )
                found += [(paths[each.collection_id], listed.media) for listed in page]
                if len(found) > MOST_FILES:
                    raise collection_too_large(f"has more than {MOST_FILES} media")
                if len(page) < PAGE:
                    break
                token = token_after(page[-1])
        return found

    def _content_now(self, media: Media, rendition: str) -> Content:
        """Raises the errors of `readable`, and NotFound (RENDITION_NOT_FOUND)."""
        readable(media)
        if rendition:
            return self._downloads.rendition(media, rendition)
        return self._downloads.original(media)

    async def _named(self, principal: Principal, media_ids: Sequence[str]) -> list[Media]:
        found: list[Media] = []
        for at in range(0, len(media_ids), PAGE):
            part = [media_id.lower() for media_id in media_ids[at : at + PAGE]]
            async with self._database.connection() as db:
                loaded = await media_queries.get_asked(db, [(each, principal) for each in part])
            found += [
                authorize(media, not_found(media_id), Role.VIEWER)
                for media_id, media in zip(part, loaded, strict=True)
            ]
        return found

    async def _listed(self, principal: Principal, selection: Selection) -> list[Media]:
        found: list[Media] = []
        token = ""
        while True:
            page, token_after, _ = await self._media.list_media(
                principal,
                filter_text=selection.filter,
                order_by="",
                page_token=token,
                show_deleted=False,
                owner=None,
                project_id=selection.project_id,
                limit=PAGE,
            )
            found += [listed.media for listed in page]
            if len(found) > MOST_FILES:
                raise too_many(MOST_FILES)
            if len(page) < PAGE:
                return found
            token = token_after(page[-1])

    async def _check(self, principal: Principal, archive: Archive) -> None:
        """Raises Aborted (ARCHIVE_CHANGED) unless the caller may read all files now."""
        position = 0
        while position < archive.file_count:
            async with self._database.connection() as db:
                page = await queries.page(db, archive.archive_id, position, PAGE)
                asked = [(each.media_id, principal) for each in page]
                media = await media_queries.get_asked(db, asked, bare=True)
            if len(page) < min(PAGE, archive.file_count - position):
                raise changed()
            for each, found in zip(page, media, strict=True):
                check_unchanged(principal, each, found)
            position += len(page)
            await asyncio.sleep(0)


def check_unchanged(principal: Principal, file: ArchiveFile, media: Media | None) -> None:
    """Raises Aborted (ARCHIVE_CHANGED) unless the caller may read this file of a media."""
    if media is None or media.role < Role.VIEWER:
        raise changed()
    if not file.rendition and not principal.may_download:
        raise changed()
    try:
        readable(media)
    except MediaError:
        raise changed() from None
    if not file.rendition and media.version != file.version:
        raise changed()


def blob_of(content: Content) -> Blob:
    if not isinstance(content.body, Blob):
        raise TypeError("originals and renditions are blobs")
    return content.body


def laid_out(
    contents: Sequence[Placed], rendition: str, folders: Folders, known: Mapping[str, int]
) -> list[ArchiveFile]:
    """The files of an archive. `known`: the CRC-32 of blobs."""
    files: list[ArchiveFile] = []
    start = 0
    for position, placed in enumerate(contents):
        content = placed.content
        blob = blob_of(content)
        wanted = content.filename or with_extension(
            content.media_id, content.content_type, f"-{rendition}" if rendition else ""
        )
        name, crc32 = folders.take(placed.folder, wanted), known.get(blob.blob_id)
        file = File(name, blob.size_bytes, content.modified, crc32 is None, start)
        files.append(
            ArchiveFile(position, content.media_id, content.version, rendition, blob, file, crc32)
        )
        start = file.end
    return files


def entry(call: AuditedCall, file: ArchiveFile) -> AuditEntry:
    category = Category.DOWNLOAD if file.use is Use.DOWNLOAD else Category.VIEW
    return AuditEntry(
        category=category,
        action=f"media.{category.lower()}",
        origin=call.origin(),
        media_id=file.media_id,
        version=file.version,
        resource_id=call.resource_id,
        counted=True,
        bytes=file.file.size_bytes,
    )
