-- Whether the metadata of an original was removed. What was stripped earlier is not known, and counts as not stripped.
alter table media_versions add column stripped boolean not null default false;
