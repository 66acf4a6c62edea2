-- How many attempts at a job failed because the store or the database was unavailable.
alter table jobs add column outages integer not null default 0;
