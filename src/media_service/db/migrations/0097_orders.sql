-- Lists in these orders, of callers who see very many media: each organization is read as a whole, and so is each owner
-- outside of organizations. A media is in one of both.
create index media_by_organization_filename on media (org_id, filename, media_id)
    include (owner_type, owner_id, project_id, delete_time) where org_id <> '';
create index media_by_organization_title on media (org_id, title, media_id)
    include (owner_type, owner_id, project_id, delete_time) where org_id <> '';
create index media_by_organization_rating on media (org_id, rating, media_id)
    include (owner_type, owner_id, project_id, delete_time) where org_id <> '';
create index media_by_owner_filename on media (owner_type, owner_id, filename, media_id)
    include (project_id, delete_time) where org_id = '';
create index media_by_owner_title on media (owner_type, owner_id, title, media_id)
    include (project_id, delete_time) where org_id = '';
create index media_by_owner_rating on media (owner_type, owner_id, rating, media_id)
    include (project_id, delete_time) where org_id = '';
