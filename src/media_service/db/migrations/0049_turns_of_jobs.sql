-- Whose turns a job takes: the caller who started it, or else its owner.
alter table jobs
    add column charged_type text,
    add column charged_id text;
alter table jobs
    add column turn_type text generated always as (coalesce(charged_type, owner_type)) stored,
    add column turn_id text generated always as (coalesce(charged_id, owner_id)) stored;

drop index jobs_to_claim;
create index jobs_to_claim on jobs (org_id, turn_type, turn_id, priority desc, run_time, job_id)
    where state = 'QUEUED' and ready and owner_type is not null;
drop index jobs_light_to_claim;
create index jobs_light_to_claim on jobs (org_id, turn_type, turn_id, priority desc, run_time, job_id)
    where state = 'QUEUED' and ready and owner_type is not null and not heavy;
drop index jobs_running;
create index jobs_running on jobs (org_id, turn_type, turn_id)
    where state = 'RUNNING' and owner_type is not null;
