-- What an upload gives to its media, and a limit for uploads of unknown size.
alter table uploads
    add column project_id text not null default '',
    add column max_size_bytes bigint check (max_size_bytes > 0),
    -- Title, description, tags, labels, visibility, times, by the names of the columns of `media`.
    add column attributes jsonb not null default '{}' check (jsonb_typeof(attributes) = 'object');
create index uploads_by_project on uploads (project_id, create_time desc, upload_id desc) where project_id <> '';
