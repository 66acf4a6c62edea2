-- ZIP archives of several media. Their layout is fixed, and their bytes are written while they are read.
--   creator: who may read it, as a grantee
create table archives (
    archive_id uuid primary key,
    creator text not null,
    org_id text not null default '',
    filename text not null,
    file_count integer not null,
    directory_start bigint not null,
    size_bytes bigint not null,
    create_time timestamptz not null default now(),
    expire_time timestamptz not null
);
create index archives_by_creator on archives (creator, create_time, archive_id);
create index archives_by_expiry on archives (expire_time);

-- The files of an archive in order. `described`: a data descriptor behind the file has its CRC-32.
create table archive_files (
    archive_id uuid not null references archives on delete cascade,
    position integer not null,
    media_id uuid not null,
    version integer not null,
    rendition text not null,
    blob_id uuid not null,
    name text not null,
    size_bytes bigint not null,
    modified timestamptz not null,
    described boolean not null,
    start bigint not null,
    primary key (archive_id, position)
);
create index archive_files_by_media on archive_files (media_id);

-- CRC-32 as in ZIP files, once an archive has needed it.
alter table blobs add column crc32 bigint;
