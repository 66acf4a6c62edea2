-- Webhooks that can be changed, have two secrets for a while, and are found when a delivery is due. `project_ids`: whose
-- events it gets; empty: all of its resource. `secret_key`: the name of the key that both secrets are encrypted with;
-- empty: unknown. `old_secret`: signs, too, until `old_secret_expire_time`. `due_time`: when the first of its deliveries is
-- due, or earlier; null: none waits. `failing_since`: the first attempt that failed after the last one that succeeded.
alter table webhooks
    add column project_ids text[] not null default '{}',
    add column secret_key text not null default '',
    add column old_secret bytea,
    add column old_secret_expire_time timestamptz,
    add column due_time timestamptz,
    add column failing_since timestamptz;
create index webhooks_due on webhooks (due_time) where due_time is not null;

-- `cursor`: of the event, by which it is sent again. `attempts_before`: those before it was last sent again by hand.
alter table webhook_deliveries
    add column cursor bigint,
    add column attempts_before integer not null default 0;
