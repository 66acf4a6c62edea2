-- Batches that select more media than one call changes. Each is a job of the kind BATCH, which has the same id.
create table batches (
    batch_id uuid primary key references jobs on delete cascade,
    -- The caller, as a grantee such as "user:ann", and what else decides what they may do (see `Principal`).
    caller text not null,
    principal jsonb not null,
    filter text not null,
    -- What it does with each media: see batches/stored.py.
    action jsonb not null,
    -- Who becomes the owner of the media, as a grantee, if anybody does.
    recipient text,
    -- The media that it has reached, newest first. Those before it are done.
    reached_time timestamptz not null default now(),
    reached_id uuid not null default 'ffffffff-ffff-ffff-ffff-ffffffffffff',
    selected bigint not null,
    processed bigint not null default 0,
    changed bigint not null default 0,
    failed bigint not null default 0,
    -- The first ones: see `Refusal` in jobs/model.py.
    errors jsonb not null default '[]',
    create_time timestamptz not null default now()
);
create index batches_by_caller on batches (caller, create_time, batch_id);
create index batches_by_recipient on batches (recipient, create_time, batch_id) where recipient is not null;

-- Batches render nothing, so that their seconds are not charged, like those of virus scans.
drop trigger time_attempt on jobs;
create trigger time_attempt before update of state on jobs
for each row when (
    old.state = 'RUNNING' and new.state <> 'RUNNING' and old.holds_slot
    and old.owner_type is not null and old.kind not in ('SCAN', 'BATCH')
    and (new.attempt, new.lost_leases, new.outages) = (old.attempt, old.lost_leases, old.outages)
)
execute function time_attempt();
