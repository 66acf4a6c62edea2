-- What an organization or a project accepts of uploads, and what it does with them. `settings`: see media/policy.py.
create table policies (
    resource text collate "C" primary key,
    settings jsonb not null,
    update_time timestamptz not null default now()
);

-- The policies that applied when the upload was created, the organization's first. Null: there was none.
alter table uploads add column policies jsonb;
