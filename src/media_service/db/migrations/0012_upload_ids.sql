-- The id of an upload is not the id of its media.
alter table uploads add column media_id uuid;
update uploads set media_id = upload_id;
alter table uploads alter column media_id set not null;

-- Idempotency keys replace request ids of uploads. A call with a lease is running; its key is free
-- again when the lease ends.
drop index uploads_by_request;
alter table uploads drop column request_id;
create table idempotency_keys (
    -- SHA-256 of the caller, the method and the key.
    key_id bytea primary key check (length(key_id) = 32),
    -- SHA-256 of the content of the request.
    digest bytea not null check (length(digest) = 32),
    -- What the call created, or creates.
    resource_id uuid not null,
    lease_until timestamptz,
    expire_time timestamptz not null
);
create index idempotency_keys_to_expire on idempotency_keys (expire_time);
