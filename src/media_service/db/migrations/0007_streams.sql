-- Films that were made ready for adaptive streaming. A media has one that is ready, and perhaps a newer one that is
-- being made.
create table streams (
    stream_id uuid primary key,
    media_id uuid not null references media on delete cascade,
    -- What makes it.
    job_id uuid not null unique,
    ready boolean not null default false,
    -- Since when another is played in its place: who plays it may come to its end.
    replace_time timestamptz,
    -- Sizes, sounds, and how it is cut: see Ladder.
    ladder jsonb not null,
    create_time timestamptz not null default now()
);
create index streams_by_media on streams (media_id);

create table stream_segments (
    stream_id uuid not null references streams on delete cascade,
    -- A size ("720p"), a sound ("a1") or subtitles ("s1").
    track text not null,
    -- From 1 in order of time; 0 is what a player needs before any other.
    number integer not null check (number >= 0),
    blob_id uuid not null references blobs,
    -- In ticks of the track.
    duration bigint not null,
    -- Up to the end of its first picture, which can be shown by itself.
    first_bytes integer not null,
    -- Of number 0, as RFC 6381 has it.
    codec text not null default '',
    primary key (stream_id, track, number)
);
create index stream_segments_by_blob on stream_segments (blob_id);

-- A job may have parts, which any worker can do. Nobody sees them but who does the job.
alter table jobs
    add column parent_id uuid,
    add column part integer not null default 0,
    -- Takes a worker for long: there is always a place for others.
    add column heavy boolean not null default false;
create unique index jobs_by_parent on jobs (parent_id, part) where parent_id is not null;
