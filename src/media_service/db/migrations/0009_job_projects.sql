-- The project that contains a job's subject; empty if none.
alter table jobs add column project_id text not null default '';
