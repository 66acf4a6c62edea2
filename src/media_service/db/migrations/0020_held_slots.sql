-- Whether a running job holds a slot of a worker. A subjob that runs within the slot of its parent does not.
alter table jobs add column holds_slot boolean not null default true;

-- Whether all audio and subtitle tracks of a stream are complete, so that its job need not encode them again.
alter table streams add column tracks_ready boolean not null default false;

-- The jobs for a slot that only light jobs may use. A light job takes a few seconds.
create index jobs_light_to_claim on jobs (org_id, owner_type, owner_id, priority desc, run_time, job_id)
    where state = 'QUEUED' and ready and owner_type is not null and not heavy;
