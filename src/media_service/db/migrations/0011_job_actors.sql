-- Who started a job, beside who owns it: the id of a user, as in owner_id. Empty for the service itself.
alter table jobs add column actor_id text not null default '';
-- Until now, users started jobs only on what they own.
update jobs set actor_id = owner_id
where owner_type = 'user' and (kind = 'INGEST' or kind = 'PROCESS' and request_id is not null);
