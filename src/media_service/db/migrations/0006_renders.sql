-- Pictures that were made for a request, and kept for the next one like it. What was not used for
-- long goes: it can be made again.
create table renders (
    media_id uuid not null references media on delete cascade,
    -- SHA-256 of all that it was made of: originals, pipeline, format.
    key bytea not null check (length(key) = 32),
    blob_id uuid not null references blobs,
    content_type text not null,
    -- To the day.
    use_time timestamptz not null default now(),
    primary key (media_id, key)
);
create index renders_by_blob on renders (blob_id);
create index renders_by_use on renders (use_time);
