-- The id of a caller in the audit log is a digest of the name and of a random salt, so that a changed name is noticed:
-- entries have the id, and the chain of digests covers it. A row without a salt is older.
alter table audit_people add column salt bytea;
