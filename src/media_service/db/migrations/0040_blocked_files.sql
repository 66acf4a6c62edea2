-- Files that nobody may upload, by their SHA-256. `scope`: as a resource of grants, "service:" or "organization:ID".
create table blocked_files (
    sha256 bytea not null check (length(sha256) = 32),
    scope text collate "C" not null,
    note text not null default '',
    create_time timestamptz not null default now(),
    primary key (sha256, scope)
);
create index blocked_files_by_scope on blocked_files (scope, sha256);

-- Refuses a blocked file in the transaction that makes it readable, with the error MB001. A file whose SHA-256 is not
-- known yet passes: its upload computes the hash before if there is a list, and otherwise inspection checks it.
create function refuse_blocked() returns trigger language plpgsql as $$
declare
    blocked text;
begin
    if not exists (select from blocked_files) then
        return null;
    end if;
    select encode(b.sha256, 'hex') into blocked
    from added a
    join blobs b on b.blob_id = a.blob_id
    join media m on m.media_id = a.media_id
    join blocked_files f on f.sha256 = b.sha256 and f.scope in ('service:', 'organization:' || m.org_id)
    limit 1;
    if blocked is not null then
        raise exception 'blocked file' using errcode = 'MB001', detail = json_build_object('sha256', blocked);
    end if;
    return null;
end
$$;
create trigger refuse_blocked after insert on media_versions
    referencing new table as added for each statement execute function refuse_blocked();
