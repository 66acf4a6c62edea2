-- Lists by the time of capture and by size. Each of these indexes costs 18 microseconds of a media's life: one insert and
-- two updates. The owners need none by size: media_by_owner has it.
create index media_by_project_capture on media
    (project_id, coalesce(capture_time, '-infinity'::timestamptz) desc, media_id desc)
    include (org_id, delete_time, kind, state, visibility, capture_time)
    where project_id <> '';
create index media_by_owner_capture on media
    (org_id, owner_type, owner_id, coalesce(capture_time, '-infinity'::timestamptz) desc, media_id desc)
    include (delete_time, kind, state, visibility, capture_time);
create index media_by_project_size on media (project_id, size_bytes desc, media_id desc)
    include (org_id, delete_time, kind, state, visibility)
    where project_id <> '';

-- Rare tags and labels, of all media or of a project. Without the project in the same index, those of all projects would
-- be read for each of a caller's. Frequent ones are found by reading media_by_project in order.
create index media_by_attributes on media using gin (project_id, tag_hashes, labels jsonb_path_ops);
drop index media_by_labels;
