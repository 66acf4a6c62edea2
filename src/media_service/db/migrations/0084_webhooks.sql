-- URLs that events are sent to. `resource`: `project:ID` or `organization:ID` whose events they are; empty: those of what
-- the creator owns in `org_id`. `claimed_org_id`, `claimed_issuer`: of the creator's token. `types`: of events, exact or
-- such as `media.*`; empty: all. `secret`: encrypted.
create table webhooks (
    webhook_id uuid primary key,
    resource text not null,
    org_id text not null,
    owner_type text not null,
    owner_id text not null,
    claimed_org_id text not null,
    claimed_issuer text not null,
    url text not null,
    types text[] not null,
    description text not null,
    secret bytea not null,
    disable_reason text not null default '',
    create_time timestamptz not null default now()
);
create index webhooks_by_resource on webhooks (resource, create_time desc, webhook_id desc);
create index webhooks_by_owner on webhooks (org_id, owner_type, owner_id, create_time desc, webhook_id desc);

-- The log of deliveries. `body`: until the end. `next_time`: of the next attempt; during one, when it counts as lost.
create table webhook_deliveries (
    webhook_id uuid not null references webhooks on delete cascade,
    event_id uuid not null,
    event_type text not null,
    body text,
    attempts integer not null default 0,
    status integer not null default 0,
    duration interval,
    error text not null default '',
    excerpt text not null default '',
    create_time timestamptz not null default now(),
    next_time timestamptz default now(),
    delivered_time timestamptz,
    failed_time timestamptz,
    primary key (webhook_id, event_id)
);
create index webhook_deliveries_due on webhook_deliveries (webhook_id, next_time) where next_time is not null;
create index webhook_deliveries_by_time on webhook_deliveries (webhook_id, create_time desc, event_id desc);
create index webhook_deliveries_ended on webhook_deliveries (coalesce(delivered_time, failed_time))
    where next_time is null;
