"""Serves the files of streams: playlists, manifests, segments and storyboards."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from crc32c import crc32c

from media_service.clock import now
from media_service.codecs.pipeline.pipeline import stored_pipeline
from media_service.db.batcher import Batcher
from media_service.db.database import Database
from media_service.downloads.playlist_cache import PlaylistCache
from media_service.errors import NotFound, Reason
from media_service.media import queries as media_queries
from media_service.media.content import Content, Use, stored
from media_service.media.model import STREAM, Media
from media_service.media.reader import MediaReader, nothing_public
from media_service.media.service import readable
from media_service.renditions.forthcoming import Forthcoming
from media_service.renditions.streams import dash, hls, queries
from media_service.renditions.streams.model import INIT, Overview, Stream, Timeline
from media_service.storage.checksums import Checksums

MASTER, MANIFEST, FRAMES = "master.m3u8", "manifest.mpd", "iframes.m3u8"
# The first segment of public paths of streams.
STREAMS = "streams"
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TRACK_FILE = re.compile(
    rf"({UUID.pattern})/([a-z0-9]{{1,16}})/([a-z0-9]{{1,16}}\.(?:m3u8|mp4|m4s|vtt))"
)
# The cues of a storyboard refer to its images by a relative path, which is the same in
# `renditions/`.
STORYBOARD = re.compile(r"([a-z0-9][a-z0-9_.-]{0,63})/content")
SEGMENT = re.compile(r"([1-9][0-9]{0,8})\.(m4s|vtt)")
VTT = "text/vtt; charset=utf-8"


class PlaybackService:
    """Opens the files of streams. `reader` may return media without their renditions."""

    def __init__(self, database: Database, reader: MediaReader, forthcoming: Forthcoming) -> None:
        self._database = database
        self._reader = reader
        self._forthcoming = forthcoming
        self._current = Batcher(self._current_of_many)
        self._playlists = PlaylistCache()

    async def public(self, path: str) -> Content:
        """Like `open`, for a published media. `path` has the media id, then the file of the stream.
        Raises NotFound (MEDIA_NOT_FOUND, RENDITION_NOT_FOUND) and Unavailable (MEDIA_NOT_READY)."""
        media_id, _, rest = path.partition("/")
        media = await self._reader.find(media_id) if UUID.fullmatch(media_id) else None
        if media is None or not media.published:
            raise nothing_public()
        return await self.open(media, rest)

    async def check(self, media: Media) -> None:
        """Raises NotFound (RENDITION_NOT_FOUND) unless a stream exists or is being encoded."""
        if await self._current(media.media_id) or await self._forthcoming.has(media, STREAM):
            return
        await self._stream(media)  # a job may have ended since

    async def open(self, media: Media, path: str) -> Content:
        """Returns the file at this path of a media's stream: a playlist, the manifest, a segment,
        or a storyboard.
        Raises NotFound (RENDITION_NOT_FOUND), Unavailable (MEDIA_NOT_READY), FailedPrecondition
        (MEDIA_QUARANTINED, MEDIA_DELETED).
        """
        readable(media)
        if track_file := TRACK_FILE.fullmatch(path):
            return await self._track_file(media, *track_file.groups())
        if storyboard := STORYBOARD.fullmatch(path):
            name, look = storyboard[1], partial(self._storyboard, media, storyboard[1])
        elif path in {MASTER, MANIFEST}:
            name, look = STREAM, partial(self._entry, media, path)
        else:
            raise no_such(media)
        try:
            return await look()
        except NotFound:
            return await self._forthcoming.look_again(media, name, look)

    async def _entry(self, media: Media, path: str) -> Content:
        """The file that a player opens first."""
        stream = await self._stream(media)
        key = (media.media_id, stream.stream_id, path)
        generate = partial(self._master_or_manifest, media, stream, path)
        return await self._playlists.get(key, final=stream.ready, generate=generate)

    async def _stream(self, media: Media) -> Stream:
        stream = await self._current(media.media_id)
        if stream is None:
            raise no_such(media)
        return stream

    async def _current_of_many(self, media_ids: Sequence[str]) -> list[Stream | None]:
        async with self._database.connection() as db:
            found = await queries.current(db, media_ids)
        return [found.get(media_id) for media_id in media_ids]

    async def _master_or_manifest(self, media: Media, stream: Stream, path: str) -> Content:
        async with self._database.connection() as db:
            overview = Overview(stream, await queries.states(db, stream))
            check_playable(media, overview)
            if path == MASTER:
                text = hls.master(overview, stream.stream_id)
                return counted(in_memory(text, hls.CONTENT_TYPE, stream, media))
            if not stream.ready:
                raise no_such(media)
            timelines = {
                name: await queries.timeline(db, stream.stream_id, name)
                for name in stream.ladder.names
                if name in overview.tracks
            }
        if not all(timelines.values()):  # the stream was removed since
            raise no_such(media)
        text = dash.manifest(overview, timelines, stream.stream_id)
        return counted(in_memory(text, dash.CONTENT_TYPE, stream, media))

    async def _track_file(self, media: Media, stream_id: str, track: str, name: str) -> Content:
        if found := SEGMENT.fullmatch(name):
            return await self._segment(media, stream_id, track, int(found[1]), found[2])
        if name == "init.mp4":
            return await self._segment(media, stream_id, track, INIT, "mp4")
        if name not in {"playlist.m3u8", FRAMES}:
            raise no_such(media)
        async with self._database.connection() as db:
            stream = await queries.get(db, media.media_id, stream_id)
        if stream is None:
            raise no_such(media)
        key = (media.media_id, stream_id, f"{track}/{name}")
        generate = partial(self._track_playlist, media, stream, track, name)
        return await self._playlists.get(key, final=stream.ready, generate=generate)

    async def _track_playlist(self, media: Media, stream: Stream, track: str, name: str) -> Content:
        async with self._database.connection() as db:
            segments = await queries.timeline(db, stream.stream_id, track)
        timeline = Timeline(stream, track, segments)
        video_tracks = {rung.name for rung in stream.ladder.rungs}
        if not segments or (name == FRAMES and track not in video_tracks):
            raise no_such(media)
        if track not in stream.ladder.names:
            text = hls.subtitles(timeline)
        else:
            text = hls.frames(timeline) if name == FRAMES else hls.media(timeline)
        return in_memory(text, hls.CONTENT_TYPE, stream, media)

    async def _storyboard(self, media: Media, name: str) -> Content:
        """Returns the cues or the images of a storyboard, but no other rendition: a link to the
        stream must not give access to all renditions."""
        async with self._database.connection() as db:
            complete = (await media_queries.get_many(db, [media.media_id])).get(media.media_id)
        for rendition in complete.renditions if complete else ():
            if (
                rendition.name == name
                and rendition.pipeline
                and stored_pipeline(rendition.pipeline).companion_suffix
            ):
                content = stored(
                    rendition.blob,
                    rendition.content_type,
                    "",
                    rendition.create_time,
                    media.media_id,
                    media.version,
                )
                return replace(content, revalidate=True)
        raise no_such(media)

    async def _segment(
        self, media: Media, stream_id: str, track: str, number: int, extension: str
    ) -> Content:
        async with self._database.connection() as db:
            blob = await queries.segment(db, media.media_id, stream_id, track, number)
        if blob is None:
            raise no_such(media)
        mp4 = "audio/mp4" if track.startswith("a") else "video/mp4"
        content_type = VTT if extension == "vtt" else mp4
        return stored(blob, content_type, "", media.create_time, media.media_id, media.version)


def check_playable(media: Media, overview: Overview) -> None:
    """Raises NotFound (RENDITION_NOT_FOUND) unless every track has a first segment."""
    if overview.stream.ready:
        return
    for name in overview.stream.ladder.names:
        state = overview.tracks.get(name)
        if not state or not state.codec or not state.segments:
            raise no_such(media)


def no_such(media: Media) -> NotFound:
    return NotFound(
        Reason.RENDITION_NOT_FOUND,
        "The media has no stream, or the stream has no such file. To create one, call ProcessMedia"
        " with the operation `stream`.",
        media_id=media.media_id,
        rendition=STREAM,
    )


def counted(content: Content) -> Content:
    """Marks content whose reads count as views of the media: the multivariant playlist and the
    manifest."""
    return replace(content, use=Use.VIEW)


def in_memory(text: str, content_type: str, stream: Stream, media: Media) -> Content:
    data = text.encode()
    digest = hashlib.sha256(data).digest()
    checksums = Checksums(crc32c(data), digest)
    modified = stream.create_time if stream.ready else now()
    etag = f'"{digest.hex()[:32]}"'
    return Content(
        data,
        etag,
        len(data),
        checksums,
        content_type,
        "",
        modified,
        revalidate=True,
        media_id=media.media_id,
        version=media.version,
    )
