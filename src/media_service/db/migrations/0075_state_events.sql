-- Events of rows that change their state in many places. A trigger misses none of them, and the event is in the
-- transaction of the change, also where that is a single statement.

-- What `event_outbox.event` holds. See `Event.row` in db/new_event.py.
create function new_event(
    type text, subject text, media_id uuid, sequence bigint, org_id text, owner_type text, owner_id text,
    project_id text, minimum_role integer, data jsonb
) returns jsonb language sql volatile as $$
    select jsonb_build_object(
        'event_id', gen_random_uuid(), 'type', type, 'subject', subject, 'media_id', media_id, 'sequence', sequence,
        'org_id', coalesce(org_id, ''), 'owner_type', coalesce(owner_type, 'service'),
        'owner_id', coalesce(owner_id, ''), 'project_id', coalesce(project_id, ''), 'minimum_role', minimum_role,
        'data', data
    )
$$;

-- Media. The number of the event is taken with the change of the row.
create function emit_media_state() returns trigger language plpgsql as $$
begin
    new.event_sequence := new.event_sequence + 1;
    insert into event_outbox (event) values (new_event(
        case new.state when 'READY' then 'media.ready' when 'FAILED' then 'media.failed' else 'media.quarantined' end,
        'media/' || new.media_id, new.media_id, new.event_sequence, new.org_id, new.owner_type, new.owner_id,
        new.project_id, 1,
        jsonb_build_object(
            'kind', new.kind, 'state', new.state, 'version', new.version, 'visibility', new.visibility,
            'reason', coalesce(new.error_reason, '')
        )
    ));
    return new;
end
$$;
create trigger emit_media_state before update of state on media
for each row when (new.state is distinct from old.state and new.state in ('READY', 'FAILED', 'QUARANTINED'))
execute function emit_media_state();

-- Uploads. Those that are inserted together share a statement. Rows of nobody only retire an id.
create function event_of_upload(state text) returns text language sql immutable as $$
    select case state
        when 'ACTIVE' then 'upload.created' when 'FINISHED' then 'upload.finished' when 'FAILED' then 'upload.failed'
        when 'ABORTED' then 'upload.aborted' when 'EXPIRED' then 'upload.expired' end
$$;
create function emit_new_uploads() returns trigger language plpgsql as $$
begin
    insert into event_outbox (event)
    select new_event(
        event_of_upload(u.state), 'upload/' || u.upload_id,
        case when u.state = 'FINISHED' then u.media_id end, null, u.org_id, u.owner_type, u.owner_id, u.project_id, 1,
        jsonb_build_object('mediaId', u.media_id, 'reason', coalesce(u.error_reason, ''))
    )
    from added u where u.owner_type <> 'service' and event_of_upload(u.state) is not null;
    return null;
end
$$;
create trigger emit_new_uploads after insert on uploads referencing new table as added
for each statement execute function emit_new_uploads();
create function emit_upload_state() returns trigger language plpgsql as $$
begin
    insert into event_outbox (event) values (new_event(
        event_of_upload(new.state), 'upload/' || new.upload_id,
        case when new.state = 'FINISHED' then new.media_id end, null, new.org_id, new.owner_type, new.owner_id,
        new.project_id, 1,
        jsonb_build_object('mediaId', new.media_id, 'reason', coalesce(new.error_reason, ''))
    ));
    return null;
end
$$;
create trigger emit_upload_state after update of state on uploads
for each row when (
    new.state is distinct from old.state and new.owner_type <> 'service'
    and new.state in ('FINISHED', 'FAILED', 'ABORTED', 'EXPIRED')
)
execute function emit_upload_state();

-- Jobs that make renditions. What scans and inspections find is an event of the media.
create function emit_job_state() returns trigger language plpgsql as $$
begin
    insert into event_outbox (event) values (new_event(
        case new.state
            when 'QUEUED' then case when tg_op = 'INSERT' then 'job.created' else 'job.retried' end
            when 'SUCCEEDED' then 'job.succeeded' when 'FAILED' then 'job.failed' else 'job.cancelled' end,
        'job/' || new.job_id, new.subject_id, null, new.org_id, new.owner_type, new.owner_id, new.project_id, 1,
        jsonb_build_object(
            'mediaId', new.subject_id, 'rendition', new.rendition, 'reason', coalesce(new.error_reason, '')
        )
    ));
    return null;
end
$$;
create trigger emit_new_job after insert on jobs
for each row when (new.kind = 'PROCESS' and new.owner_type is not null)
execute function emit_job_state();
create trigger emit_job_state after update of state on jobs
for each row when (
    new.kind = 'PROCESS' and new.owner_type is not null and new.state is distinct from old.state
    and (new.state in ('SUCCEEDED', 'FAILED', 'CANCELLED')
         or new.state = 'QUEUED' and old.state in ('FAILED', 'CANCELLED'))
)
execute function emit_job_state();

-- Quotas. In events, the random id of a user stands for their name, as in the audit log.
create function emit_soft_limit() returns trigger language plpgsql as $$
declare
    project text := case when starts_with(new.account, 'project:') then substr(new.account, 9) else '' end;
    organization text := case
        when project <> '' then coalesce((select p.org_id from projects p where p.project_id = project), '')
        when starts_with(new.account, 'organization:') then substr(new.account, 14)
        else split_part(substr(new.account, 7), '/', 1) end;
    owned text[] := regexp_match(new.account, '^owner:[^/]*/([^:]*):(.*)$', 'n');
begin
    insert into event_outbox (event) values (new_event(
        'quota.soft_limit_exceeded', 'quota/' || account_in_log(new.account), null, null, organization, owned[1],
        owned[2], project, 4, jsonb_build_object('measure', new.measure)
    ));
    return null;
end
$$;
create trigger emit_soft_limit after update of soft_exceed_time on quotas
for each row when (
    new.soft_exceed_time is not null and new.soft_exceed_time is distinct from old.soft_exceed_time
)
execute function emit_soft_limit();
