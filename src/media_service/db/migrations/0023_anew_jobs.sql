-- Whether a job renders its renditions even if they exist.
alter table jobs add column anew boolean not null default false;
