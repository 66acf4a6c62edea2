-- Jobs kept the label of their media, also where it became the id of somebody else's project, whose members then saw
-- the jobs. A job is in a project if its owner has it, or its media is in it.
update jobs j set project_id = ''
where j.project_id <> ''
  and not exists (
      select from projects p
      where (p.project_id, p.org_id, p.owner_type, p.owner_id)
          = (j.project_id, j.org_id, j.owner_type, j.owner_id)
  )
  and not exists (
      select from media m where m.media_id = j.subject_id and m.project_id = j.project_id
  );

-- To count the open uploads of the service accounts of an owner, also of deleted ones.
create index service_accounts_of_owner on service_accounts (org_id, owner_type, owner_id);
