-- Events: what consumers are told. A transaction adds its events to the outbox. After the commit, the relay moves them
-- to `events`, where each gets the next cursor.

-- The number of events of a media so far. It only changes together with an event, so the row is locked.
alter table media add column event_sequence bigint not null default 0;

-- `position`: in the order of the changes of one resource, because a transaction takes it after it has locked the
-- resource. `event`: the columns of `events`, as JSON, so that a transaction writes one short row.
create table event_outbox (
    position bigint generated always as identity primary key,
    time timestamptz not null default now(),
    event jsonb not null
);

-- `sequence`: of the media; null for events of other resources. `org_id`, `owner_type`, `owner_id` and `project_id`: of
-- what the event is about, as it was then; with them, `media_id` decides who may see the event.
create table events (
    cursor bigint primary key,
    event_id uuid not null,
    type text not null,
    subject text not null,
    media_id uuid,
    sequence bigint,
    org_id text not null,
    owner_type text not null,
    owner_id text not null,
    project_id text not null,
    minimum_role smallint not null,
    data jsonb not null,
    time timestamptz not null
);
create index events_by_owner on events (org_id, owner_type, owner_id, cursor);
create index events_by_media on events (media_id, cursor) where media_id is not null;

-- One row. `epoch`: in milliseconds, when the numbering began: cursors of another epoch are not valid. The relay locks
-- it, so that cursors are committed in their order. `removed`: the last cursor whose event was removed.
create table event_log (
    one boolean primary key default true check (one),
    epoch bigint not null,
    last_cursor bigint not null default 0,
    removed bigint not null default 0
);
insert into event_log (epoch) values (floor(extract(epoch from clock_timestamp()) * 1000));

-- Where each sink is. `holder`: the process that delivers to it, until `lease_until`. `failing_since` and `error`: of the
-- delivery that is being retried. `seen_time`: when a worker last had the sink in its settings.
create table event_sinks (
    name text primary key,
    cursor bigint not null,
    holder uuid,
    lease_until timestamptz not null default '-infinity',
    failing_since timestamptz,
    attempts integer not null default 0,
    error text not null default '',
    seen_time timestamptz not null default now()
);
