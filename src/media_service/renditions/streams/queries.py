"""SQL of streams."""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.types.json import Jsonb

from media_service.blobs.model import Blob
from media_service.codecs.video.ladder import SAMPLE_RATE, SEGMENT_SECONDS, Ladder
from media_service.db.transaction import Connection
from media_service.renditions.streams.model import INIT, NewSegment, Segment, Stream, TrackState
from media_service.storage.checksums import Checksums

SELECT = """
    select s.stream_id::text as stream_id, s.media_id::text as media_id, s.job_id::text as job_id,
           s.ready, s.ladder, s.create_time, s.tracks_ready
    from streams s
"""

# Streams whose jobs ended without publishing them, and streams that were replaced six hours ago.
ABANDONED = """
    (not ready and not exists (
        select from jobs j where j.job_id = streams.job_id and j.state in ('QUEUED', 'RUNNING')
    ) or replace_time < now() - interval '6 hours')
"""


def record(row: Mapping[str, Any]) -> Stream:
    return Stream(
        row["stream_id"],
        row["media_id"],
        row["job_id"],
        row["ready"],
        Ladder.from_json(row["ladder"]),
        row["create_time"],
        row["tracks_ready"],
    )


async def add(
    db: Connection, stream_id: str, media_id: str, job_id: str, ladder: Ladder
) -> Stream | None:
    """Adds a stream, or finds the one that the job already has. Returns None if the media is
    gone."""
    await db.execute(
        "insert into streams (stream_id, media_id, job_id, ladder)"
        " select %s, media_id, %s, %s from media where media_id = %s for key share",
        (stream_id, job_id, Jsonb(ladder.as_json()), media_id),
    )
    return await of_job(db, job_id)


async def of_job(db: Connection, job_id: str, *, lock: bool = False) -> Stream | None:
    """Returns the stream of a job. With `lock`, it cannot be removed until the transaction ends."""
    which = "where s.job_id = %s" + (" for update" if lock else "")
    rows = await db.execute((SELECT + which).encode(), (job_id,))
    row = await rows.fetchone()
    return record(row) if row else None


async def set_tracks_ready(db: Connection, stream: Stream) -> None:
    await db.execute(
        "update streams set tracks_ready = true where stream_id = %s", (stream.stream_id,)
    )


async def get(db: Connection, media_id: str, stream_id: str) -> Stream | None:
    """Returns a stream if it belongs to this media."""
    rows = await db.execute(
        SELECT + "where s.media_id = %s and s.stream_id = %s", (media_id, stream_id)
    )
    row = await rows.fetchone()
    return record(row) if row else None


async def current(db: Connection, media_ids: Sequence[str]) -> dict[str, Stream]:
    """Returns the stream of each media, by media id: the ready one, or else the newest one."""
    rows = await db.execute(
        SELECT + "where s.media_id = any(%s::uuid[]) and s.replace_time is null"
        " order by s.ready, s.create_time",
        (list(media_ids),),
    )
    # For each media, the last row wins.
    return {row["media_id"]: record(row) async for row in rows}


async def put_segment(db: Connection, stream_id: str, new: NewSegment, blob_id: str) -> bool:
    """Adds a segment. Returns False if it already exists, or if the stream does not exist."""
    done = await db.execute(
        "insert into stream_segments (stream_id, track, number, blob_id, duration, first_bytes,"
        " codec) select stream_id, %s, %s, %s, %s, %s, %s from streams where stream_id = %s"
        " for key share on conflict do nothing",
        (
            new.track,
            new.number,
            blob_id,
            new.duration,
            new.first_bytes,
            new.codec,
            stream_id,
        ),
    )
    return done.rowcount == 1


async def states(db: Connection, stream: Stream) -> dict[str, TrackState]:
    """The state of each track that has segments, by its name."""
    rows = await db.execute(
        """
        select track, max(codec) as codec,
               count(*) filter (where number > 0 and number = position - 1) as segments,
               max(number) as last,
               coalesce(max(8.0 * size_bytes / nullif(duration, 0))
                        filter (where duration >= usual / 2), 0)::float8 as peak,
               coalesce(max(8.0 * first_bytes / nullif(duration, 0))
                        filter (where duration >= usual / 2), 0)::float8 as frames,
               coalesce(8.0 * sum(size_bytes) / nullif(sum(duration), 0), 0)::float8 as average
        from (
            select g.*, b.size_bytes,
                   row_number() over (partition by track order by number) as position,
                   case when %(ready)s then max(duration) over (partition by track)
                        when track = any(%(audio)s) then %(audio_ticks)s
                        else %(video_ticks)s end as usual
            from stream_segments g join blobs b on b.blob_id = g.blob_id
            where g.stream_id = %(id)s
        ) numbered
        group by track
        """,
        {
            "id": stream.stream_id,
            "ready": stream.ready,
            "audio": [track.name for track in stream.ladder.audio_tracks],
            "audio_ticks": SEGMENT_SECONDS * SAMPLE_RATE,
            "video_ticks": SEGMENT_SECONDS * stream.ladder.timescale,
        },
    )
    return {
        row["track"]: TrackState(
            row["codec"],
            row["segments"],
            row["last"],
            round(row["peak"] * stream.timescale(row["track"])),
            round(row["average"] * stream.timescale(row["track"])),
            round(row["frames"] * stream.timescale(row["track"])),
        )
        async for row in rows
    }


async def timeline(db: Connection, stream_id: str, track: str) -> list[Segment]:
    """Returns the segments of a track from the first one up to a gap."""
    rows = await db.execute(
        "select g.number, g.duration, g.first_bytes, b.size_bytes"
        " from stream_segments g join blobs b on b.blob_id = g.blob_id"
        " where g.stream_id = %s and g.track = %s and g.number > %s order by g.number",
        (stream_id, track, INIT),
    )
    found: list[Segment] = []
    async for row in rows:
        if row["number"] != len(found) + 1:
            break
        found.append(Segment(row["number"], row["duration"], row["first_bytes"], row["size_bytes"]))
    return found


async def segment(
    db: Connection, media_id: str, stream_id: str, track: str, number: int
) -> Blob | None:
    """Returns the blob of a segment if its stream belongs to this media."""
    rows = await db.execute(
        "select b.blob_id::text as blob_id, b.store, b.key, b.size_bytes, b.crc32c, b.sha256"
        " from stream_segments g join blobs b on b.blob_id = g.blob_id"
        " join streams s on s.stream_id = g.stream_id"
        " where g.stream_id = %s and g.track = %s and g.number = %s and s.media_id = %s",
        (stream_id, track, number, media_id),
    )
    row = await rows.fetchone()
    if row is None:
        return None
    checksums = Checksums(row["crc32c"], row["sha256"])
    return Blob(row["blob_id"], row["store"], row["key"], row["size_bytes"], checksums)


async def publish(db: Connection, stream: Stream) -> None:
    """Makes the stream current. An older stream can still be played for six hours."""
    await db.execute(
        "update streams set replace_time = now()"
        " where media_id = %s and ready and replace_time is null",
        (stream.media_id,),
    )
    await db.execute("update streams set ready = true where stream_id = %s", (stream.stream_id,))


async def remove_ready(db: Connection, media_id: str) -> list[str]:
    """Removes the published streams of a media. Returns the blobs that have no references now."""
    return await remove(db, "media_id = %s and ready", (media_id,))


async def abandoned(db: Connection, limit: int) -> list[str]:
    """Locks and returns streams that can no longer be played. Skips streams that are locked."""
    rows = await db.execute(
        f"select stream_id from streams where {ABANDONED} limit %s for update skip locked".encode(),
        (limit,),
    )
    return [row["stream_id"] async for row in rows]


async def remove_abandoned(db: Connection, stream_ids: Sequence[str]) -> list[str]:
    """Removes locked streams. Returns the blobs that have no references now."""
    # Check again under the lock, because a job may have been retried.
    return await remove(db, f"{ABANDONED} and stream_id = any(%s)", (list(stream_ids),))


async def job_without_stream(db: Connection) -> str | None:
    """Returns a job that still has chunk jobs, but whose stream no longer exists."""
    rows = await db.execute(
        "select parent_id::text as job_id from jobs where parent_id is not null"
        " and not exists (select from streams where job_id = parent_id) limit 1"
    )
    row = await rows.fetchone()
    return row["job_id"] if row else None


async def lock_all(db: Connection, media_id: str) -> None:
    """Prevents others from adding segments to the streams of a media until the transaction ends. A
    statement that has already begun would not see such segments."""
    await db.execute("select from streams where media_id = %s for update", (media_id,))


async def remove(db: Connection, which: str, values: Sequence[Any]) -> list[str]:
    rows = await db.execute(
        f"select stream_id from streams where {which} for update".encode(), values
    )
    stream_ids = [row["stream_id"] async for row in rows]
    if not stream_ids:
        return []
    # Before their streams, which say to which media segments are charged.
    rows = await db.execute(
        """
        with freed as (
            delete from stream_segments where stream_id = any(%s) returning blob_id
        )
        update blobs b set reference_count = reference_count - 1
        from freed f where b.blob_id = f.blob_id
        returning b.blob_id::text as blob_id, b.reference_count
        """,
        (stream_ids,),
    )
    unlink = [row["blob_id"] async for row in rows if row["reference_count"] == 0]
    await db.execute("delete from streams where stream_id = any(%s)", (stream_ids,))
    return unlink
