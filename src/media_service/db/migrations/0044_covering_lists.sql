-- Lists with a rare filter read all media of an owner or a project. From an index that has the filtered columns, they
-- do so without a random read of the table for each.
drop index media_by_project;
create index media_by_project on media (project_id, create_time desc, media_id desc)
    include (org_id, delete_time, kind, state, visibility, content_type, size_bytes, width, height, duration_seconds)
    where project_id <> '';
drop index media_by_owner;
create index media_by_owner on media (org_id, owner_type, owner_id, create_time desc, media_id desc)
    include (delete_time, kind, state, visibility, content_type, size_bytes, width, height, duration_seconds);
