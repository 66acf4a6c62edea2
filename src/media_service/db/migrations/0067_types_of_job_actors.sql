-- Jobs are also started by service accounts, and by the sessions of share links. The type is meaningful with an id.
alter table jobs add column actor_type text not null default 'user';
update jobs set actor_type = 'service_account'
where actor_id in (select service_account_id::text from service_accounts);
