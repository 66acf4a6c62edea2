-- How often the lease of a job ended while a worker held it, because the worker died.
alter table jobs add column lost_leases integer not null default 0;
