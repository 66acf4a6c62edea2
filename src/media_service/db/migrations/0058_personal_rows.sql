-- An export and an erasure read each page of the rows of a person from an index, in its order.
create index jobs_by_actor on jobs (actor_id, create_time, job_id)
    where actor_id <> ''
    and (owner_type in ('user', 'service_account') and owner_id = actor_id) is not true;
create index jobs_by_charged on jobs (charged_type, charged_id, create_time, job_id)
    where ((charged_type, charged_id) = (owner_type, owner_id)) is not true
    and ((charged_type, charged_id) = ('user', actor_id)) is not true
    and charged_type is not null;

drop index projects_by_owner;
create index projects_by_owner on projects (org_id, owner_type, owner_id, create_time, project_id);
drop index service_accounts_of_owner;
create index service_accounts_of_owner on service_accounts
    (org_id, owner_type, owner_id, create_time, service_account_id);

-- Accounts and resources "owner:ORGANIZATION/TYPE:ID", by what is after the organization.
create index quotas_by_person on quotas (substr(account, strpos(account, '/') + 1), account, measure)
    where starts_with(account, 'owner:');
create index access_grants_by_person on access_grants
    (substr(resource, strpos(resource, '/') + 1), resource, grantee) where starts_with(resource, 'owner:');

-- The principal as a grantee.
create index watch_tickets_by_person on watch_tickets ((
    coalesce(principal ->> 'type', 'user') || ':'
    || coalesce(nullif(principal ->> 'issuer', '') || '|', '') || (principal ->> 'subject')
), ticket_hash);
