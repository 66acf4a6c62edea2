-- Jobs tell when a worker begins them.
create or replace function emit_job_state() returns trigger language plpgsql as $$
begin
    insert into event_outbox (event) values (new_event(
        case new.state
            when 'QUEUED' then case when tg_op = 'INSERT' then 'job.created' else 'job.retried' end
            when 'RUNNING' then 'job.started'
            when 'SUCCEEDED' then 'job.succeeded' when 'FAILED' then 'job.failed' else 'job.cancelled' end,
        'job/' || new.job_id, new.subject_id, null, new.org_id, new.owner_type, new.owner_id, new.project_id, 1,
        jsonb_build_object(
            'mediaId', new.subject_id, 'rendition', new.rendition, 'reason', coalesce(new.error_reason, '')
        )
    ));
    return null;
end
$$;
create or replace trigger emit_job_state after update of state on jobs
for each row when (
    new.kind in ('PROCESS', 'FOREIGN') and new.owner_type is not null and new.state is distinct from old.state
    and (new.state in ('RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED')
         or new.state = 'QUEUED' and old.state in ('FAILED', 'CANCELLED'))
)
execute function emit_job_state();

-- The key of the advisory lock that the holder has until it dies: then others deliver at once, and not when the lease
-- ends.
alter table event_sinks add column presence bigint;
