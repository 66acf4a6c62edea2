-- Erasures of persons. `names`: of the user and their service accounts, as grantees; empty once it has ended, so that
-- nothing here names them. `counts`: of rows by table and fate. `report`: what it proves, in JSON; empty until it ends.
create table erasures (
    erasure_id uuid primary key,
    pseudonym text not null,
    names text[] not null,
    counts jsonb not null default '{}',
    passes integer not null default 0,
    report text not null default '',
    create_time timestamptz not null default now(),
    end_time timestamptz
);
create index erasures_unfinished on erasures using gin (names) where end_time is null;
