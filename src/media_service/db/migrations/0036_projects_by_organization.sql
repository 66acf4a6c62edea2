-- Lists of the projects of an organization.
create index projects_by_organization on projects (org_id, create_time desc, project_id desc) where org_id <> '';
