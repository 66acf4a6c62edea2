-- The row of a deleted organization stays, so that nobody gets its id.
alter table organizations add column delete_time timestamptz;
