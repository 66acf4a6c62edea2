-- What a change set: of grants, the grantee, the role and the expiry. JSON; empty: nothing. The digest of an entry covers
-- it if it is not empty, so the digests of earlier entries remain valid.
alter table audit_entries add column details text not null default '';

-- The entries of a project and of an organization, and the refusals in it.
create index audit_entries_by_project on audit_entries (project_id, time, entry_id) where project_id <> '';
create index audit_entries_by_organization on audit_entries (org_id, time, entry_id) where org_id <> '';
create index audit_entries_denied on audit_entries (org_id, time, entry_id)
    where org_id <> '' and category = 'DENIAL';
