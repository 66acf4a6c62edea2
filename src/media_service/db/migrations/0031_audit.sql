-- The audit log: who did what to which media, when, from where, and with which outcome.

-- The random ids that stand for callers in the log. Without its row here, an id names nobody.
create table audit_people (
    person_id uuid primary key default gen_random_uuid(),
    type text not null,
    id text not null,
    create_time timestamptz not null default now(),
    unique (type, id)
);
create index audit_people_by_time on audit_people (create_time) where type = 'anonymous';

-- `counted`: it counts as one view or download. `requests`: how many calls it stands for.
-- `origin_hash`: of the row in `audit_origins`. `transaction_id`: orders the roll-up.
create table audit_entries (
    time timestamptz not null,
    entry_id uuid not null,
    category text not null,
    action text not null,
    actor_type text not null,
    person_id uuid,
    org_id text not null,
    project_id text not null,
    media_id uuid,
    version integer not null,
    resource_id text not null,
    outcome text not null,
    counted boolean not null,
    requests integer not null,
    bytes bigint not null,
    credential_id text not null,
    request_id text not null,
    origin_hash bytea not null,
    transaction_id xid8 not null default pg_current_xact_id(),
    primary key (time, entry_id)
) partition by range (time);
create index audit_entries_by_media on audit_entries (media_id, time, entry_id)
    where media_id is not null;
create index audit_entries_by_person on audit_entries (person_id, time, entry_id)
    where person_id is not null;
create index audit_entries_by_transaction on audit_entries (transaction_id);
-- For a day whose partition is missing, so that no entry is lost.
create table audit_entries_default partition of audit_entries default;

-- What is personal in an entry. It expires earlier.
create table audit_origins (
    time timestamptz not null,
    entry_id uuid not null,
    salt bytea not null,
    address text not null,
    user_agent text not null,
    primary key (time, entry_id)
) partition by range (time);
create table audit_origins_default partition of audit_origins default;

-- When each caller last began to view a media. It may be lost: then a view counts twice.
create unlogged table audit_recent_views (
    person_id uuid not null,
    media_id uuid not null,
    version integer not null,
    time timestamptz not null,
    primary key (person_id, media_id, version)
);
create index audit_recent_views_by_time on audit_recent_views (time);

-- The processes that write entries. All entries before `flush_time` are written.
create table audit_writers (
    writer_id uuid primary key,
    flush_time timestamptz not null,
    beat_time timestamptz not null
);

-- The chain of digests. `content`: the digest of the hour's entries. `digest`: of the digest before
-- it, the hour and `content`.
create table audit_digests (
    hour timestamptz primary key,
    entries bigint not null,
    content bytea not null,
    digest bytea not null,
    seal_time timestamptz not null default now()
);

-- Entries by day, for statistics. `people`: a sketch of the distinct callers.
create table audit_days (
    scope text not null,
    scope_id text not null,
    day date not null,
    action text not null,
    requests bigint not null,
    views bigint not null,
    downloads bigint not null,
    bytes bigint not null,
    people bytea not null,
    primary key (scope, scope_id, day, action)
);
create index audit_days_by_day on audit_days (day);

-- The entries of transactions before this one are in `audit_days`. At most one row.
create table audit_roll_up (
    only_row boolean primary key default true check (only_row),
    next_transaction xid8 not null
);

-- The first days. Workers create the others ahead (`audit/partitions.py`).
do $$
declare
    start date;
begin
    for ahead in 0..3 loop
        start := (now() at time zone 'UTC')::date + ahead;
        execute format(
            'create table audit_entries_%s partition of audit_entries for values from (%L) to (%L)',
            to_char(start, 'YYYYMMDD'), start || ' 00:00+00', start + 1 || ' 00:00+00'
        );
        execute format(
            'create table audit_origins_%s partition of audit_origins for values from (%L) to (%L)',
            to_char(start, 'YYYYMMDD'), start || ' 00:00+00', start + 1 || ' 00:00+00'
        );
    end loop;
end
$$;
