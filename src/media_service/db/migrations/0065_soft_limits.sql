-- Going beyond a soft limit is a change in the audit log, in the transaction that does it.
--   soft_log_time: the `soft_exceed_time` that a worker has written to its log
alter table quotas add column soft_log_time timestamptz;
update quotas set soft_log_time = soft_exceed_time;
create index quotas_to_log on quotas (account) where soft_exceed_time is distinct from soft_log_time;

-- The name of an account in the audit log, in which the random id of a user stands for their own.
create function account_in_log(account text) returns text language plpgsql as $$
declare
    owned text[] := regexp_match(account, '^(owner:[^/]*/user:)(.*)$', 'n');
    person uuid;
begin
    if owned is null then
        return account;
    end if;
    select p.person_id into person from audit_people p where p.type = 'user' and p.id = owned[2] and not p.former;
    if person is null then
        insert into audit_people (person_id, type, id, salt)
        select encode(substr(sha256(n.salt || convert_to(n.type || chr(10) || n.id, 'UTF8')), 1, 16), 'hex')::uuid,
               n.type, n.id, n.salt
        from (select 'user' as type, owned[2] as id, uuid_send(gen_random_uuid()) as salt) n
        on conflict (type, id) where not former do update set id = excluded.id
        returning person_id into person;
    end if;
    return owned[1] || person;
end
$$;

create function record_soft_limit() returns trigger language plpgsql as $$
declare
    project text := case when starts_with(new.account, 'project:') then substr(new.account, 9) else '' end;
begin
    insert into audit_entries (
        time, entry_id, category, action, actor_type, org_id, project_id, version, resource_id, outcome, counted,
        requests, bytes, credential_id, request_id, origin_hash, details
    )
    select now(), gen_random_uuid(), 'CHANGE', 'quotas.exceed_soft_limit', 'service',
           case
               when project <> '' then coalesce((select p.org_id from projects p where p.project_id = project), '')
               when starts_with(new.account, 'organization:') then substr(new.account, 14)
               else split_part(substr(new.account, 7), '/', 1)
           end,
           project, 0, account_in_log(new.account), 'OK', false, 1, 0, '', '', sha256(''),
           json_build_object(
               'measure', new.measure, 'soft_limit', new.soft_limit::text, 'used', (new.reserved + new.used)::text
           )::text;
    return null;
end
$$;

create trigger record_soft_limit after update of soft_exceed_time on quotas
for each row when (
    new.soft_exceed_time is not null and new.soft_exceed_time is distinct from old.soft_exceed_time
)
execute function record_soft_limit();
