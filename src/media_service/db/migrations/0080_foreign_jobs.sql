-- Jobs that foreign workers do are jobs that make renditions, too.
drop trigger emit_new_job on jobs;
create trigger emit_new_job after insert on jobs
for each row when (new.kind in ('PROCESS', 'FOREIGN') and new.owner_type is not null)
execute function emit_job_state();
drop trigger emit_job_state on jobs;
create trigger emit_job_state after update of state on jobs
for each row when (
    new.kind in ('PROCESS', 'FOREIGN') and new.owner_type is not null and new.state is distinct from old.state
    and (new.state in ('SUCCEEDED', 'FAILED', 'CANCELLED')
         or new.state = 'QUEUED' and old.state in ('FAILED', 'CANCELLED'))
)
execute function emit_job_state();
