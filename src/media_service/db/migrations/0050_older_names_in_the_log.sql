-- An id in the audit log that is older than salts is not a digest of the name. Such a row now names only the entries up
-- to here: callers get a new id with their next call. An entry with a digest of its name, which the chain covers, shows
-- if the name is changed. `name_time`, `name_entry_id`: of that entry. The row is removed when the entry expires.
alter table audit_people
    drop constraint audit_people_type_id_key,
    add column former boolean not null default false,
    add column name_time timestamptz,
    add column name_entry_id uuid;

update audit_people
set former = true, salt = uuid_send(gen_random_uuid()), name_time = now(), name_entry_id = gen_random_uuid()
where salt is null;

create unique index audit_people_current on audit_people (type, id) where not former;
create index audit_people_by_name on audit_people (type, id);

insert into audit_entries (
    time, entry_id, category, action, actor_type, org_id, project_id, version, resource_id, outcome, counted, requests,
    bytes, credential_id, request_id, origin_hash, details
)
select name_time, name_entry_id, 'CHANGE', 'audit.name', 'service', '', '', 0, type || ':' || person_id, 'OK', false, 1,
       0, '', '', sha256(''),
       '{"name_digest":"'
       || encode(sha256(salt || convert_to(type || chr(10) || id, 'UTF8')), 'hex') || '"}'
from audit_people where former;
