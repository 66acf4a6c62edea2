-- Jobs that somebody asked for (INGEST, PROCESS) belong to whom their media belongs to, who can watch
-- them; the rest are the service's own, and have no owner.
--
-- `ready`: whether the job can be claimed now. One that waits becomes ready once its `run_time` has
-- come, so that the indexes of claims hold nothing that has to be passed by.
alter table jobs
    add column org_id text,
    add column owner_type text,
    add column owner_id text,
    add column priority smallint not null default 2 check (priority between 1 and 3),
    add column ready boolean not null default true,
    add column stage text not null default '',
    add column progress_percent smallint not null default 0
        check (progress_percent between 0 and 100),
    add column start_time timestamptz,
    add column end_time timestamptz,
    add column request_id uuid,
    -- PROCESS: in the canonical text form, and what its result is called.
    add column pipeline text not null default '',
    add column rendition text not null default '',
    add constraint jobs_owner_check
        check (num_nulls(org_id, owner_type, owner_id) in (0, 3));

update jobs j
set org_id = m.org_id, owner_type = m.owner_type, owner_id = m.owner_id
from media m
where j.kind = 'INGEST' and m.media_id = j.subject_id;
update jobs set ready = run_time <= now() where state = 'QUEUED';
update jobs set end_time = update_time where state in ('SUCCEEDED', 'FAILED', 'CANCELLED');

drop index jobs_to_claim;
create index jobs_to_claim on jobs (org_id, owner_type, owner_id, priority desc, run_time, job_id)
    where state = 'QUEUED' and ready and owner_type is not null;
create index jobs_to_claim_of_service on jobs (run_time, job_id)
    where state = 'QUEUED' and ready and owner_type is null;
create index jobs_delayed on jobs (run_time) where state = 'QUEUED' and not ready;
create index jobs_running on jobs (org_id, owner_type, owner_id)
    where state = 'RUNNING' and owner_type is not null;
create index jobs_by_owner on jobs (org_id, owner_type, owner_id, create_time desc, job_id desc)
    where owner_type is not null;
create unique index jobs_by_request on jobs (org_id, owner_type, owner_id, request_id)
    where request_id is not null;
create index jobs_ended on jobs (end_time)
    where end_time is not null and owner_type is not null;
create index jobs_ended_of_service on jobs (end_time)
    where end_time is not null and owner_type is null;

-- What a rendition was made by, of which version of the media, and how large it is as a picture. Nothing for one
-- that is older than this.
alter table renditions
    add column pipeline text not null default '',
    add column version integer not null default 0,
    add column width integer not null default 0,
    add column height integer not null default 0;
