-- Renditions: other forms of a media. They lie in the public store while anybody may read them, else
-- with the originals.
alter table media
    add column visibility text not null default 'PRIVATE' check (visibility in ('PRIVATE', 'PUBLIC'));

create table renditions (
    media_id uuid not null references media on delete cascade,
    -- Part of addresses.
    name text not null check (name ~ '^[a-z0-9][a-z0-9_.-]{0,63}$'),
    blob_id uuid not null references blobs,
    content_type text not null,
    create_time timestamptz not null default now(),
    primary key (media_id, name)
);
create index renditions_by_blob on renditions (blob_id);

-- A blob may be written down before its bytes are, so that nothing lies in a store that no row names:
-- it has no references until it is taken. Once its removal began, it cannot be taken any more.
alter table blobs add column doomed boolean not null default false;
