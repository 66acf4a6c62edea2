-- The metadata of the error, such as the limit that was exceeded and its value. Null for errors that are older.
alter table jobs add column error_metadata jsonb;
alter table media add column error_metadata jsonb;
