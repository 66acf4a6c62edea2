-- Bytes in a store. A blob lives as long as something refers to it; `reference_count` is kept by
-- the same transactions that add and remove the references.
create table blobs (
    blob_id uuid primary key,
    store text not null check (store in ('raw', 'public')),
    key text not null unique,
    size_bytes bigint not null check (size_bytes >= 0),
    crc32c bigint not null,
    sha256 bytea check (length(sha256) = 32),
    reference_count integer not null default 1 check (reference_count >= 0),
    create_time timestamptz not null default now()
);
-- Blobs that nothing names any more, waiting to be unlinked.
create index blobs_unreferenced on blobs (create_time) where reference_count = 0;

create table media (
    media_id uuid primary key,
    org_id text not null default '',
    owner_type text not null,
    owner_id text not null,
    state text not null check (state in ('PENDING', 'PROCESSING', 'READY', 'FAILED', 'QUARANTINED')),
    error_reason text,
    error_message text,
    version integer not null default 1,
    kind text not null check (kind in ('IMAGE', 'VIDEO', 'AUDIO', 'DOCUMENT')),
    content_type text not null,
    size_bytes bigint not null,
    filename text not null default '',
    title text not null default '',
    description text not null default '',
    tags text[] not null default '{}',
    -- What inspection found, as the contract's ImageInfo, VideoInfo or AudioInfo without its
    -- private fields; those (EXIF, location) are kept apart.
    info jsonb,
    private_info jsonb,
    revision bigint not null default 1,
    create_time timestamptz not null default now(),
    update_time timestamptz not null default now(),
    delete_time timestamptz,
    purge_time timestamptz
);
create index media_by_owner on media (org_id, owner_type, owner_id, create_time desc, media_id desc);
create index media_to_purge on media (purge_time) where purge_time is not null;

create table media_versions (
    media_id uuid not null references media on delete cascade,
    version integer not null,
    blob_id uuid not null references blobs,
    content_type text not null,
    create_time timestamptz not null default now(),
    primary key (media_id, version)
);
create index media_versions_by_blob on media_versions (blob_id);

create table uploads (
    upload_id uuid primary key,
    org_id text not null default '',
    owner_type text not null,
    owner_id text not null,
    request_id uuid,
    state text not null
        check (state in ('ACTIVE', 'VERIFYING', 'FINISHED', 'FAILED', 'ABORTED', 'EXPIRED')),
    error_reason text,
    error_message text,
    filename text not null default '',
    content_type text not null default '',
    size_bytes bigint,
    crc32c bigint,
    sha256 bytea check (length(sha256) = 32),
    -- The blob these bytes will be, and what the store calls the open session (S3: the upload id).
    blob_id uuid not null unique,
    store_session text not null default '',
    -- Fencing: whoever writes takes the next epoch; checkpoints of an older one are refused.
    epoch integer not null default 0,
    committed_size bigint not null default 0,
    create_time timestamptz not null default now(),
    update_time timestamptz not null default now(),
    expire_time timestamptz not null
);
create index uploads_by_owner
    on uploads (org_id, owner_type, owner_id, create_time desc, upload_id desc);
create unique index uploads_by_request
    on uploads (org_id, owner_type, owner_id, request_id) where request_id is not null;
create index uploads_to_expire on uploads (expire_time) where state = 'ACTIVE';

create table upload_parts (
    upload_id uuid not null references uploads on delete cascade,
    number integer not null check (number between 1 and 10000),
    part_offset bigint not null,
    size_bytes bigint not null,
    crc32c bigint not null,
    -- The writer's epoch is part of the key: bytes of a superseded writer land where nobody looks.
    epoch integer not null,
    -- Sealed: whole, closed by its writer, and never written again.
    sealed boolean not null,
    primary key (upload_id, number)
);

create table jobs (
    job_id uuid primary key,
    kind text not null,
    -- What the job is about: a media id (INGEST, UNLINK: a blob id) or an upload id (FINISH).
    subject_id uuid not null,
    state text not null check (state in ('QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED')),
    attempt integer not null default 0,
    -- Fencing: a worker that lost its lease can no longer change the job.
    token integer not null default 0,
    run_time timestamptz not null default now(),
    lease_until timestamptz,
    error_reason text,
    error_message text,
    create_time timestamptz not null default now(),
    update_time timestamptz not null default now()
);
create index jobs_to_claim on jobs (run_time) where state = 'QUEUED';
create index jobs_leased on jobs (lease_until) where state = 'RUNNING';
create index jobs_by_subject on jobs (subject_id);
