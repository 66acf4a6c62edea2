-- What lists are filtered by, and few media have: from an index, a rare value is found without reading all media of the
-- caller. The expressions are those of media/filter.py. All are null when a media is stored, so uploads pay nothing.
create index media_by_location on media using gist (
    point((private_info #>> '{location,longitude}')::float8, (private_info #>> '{location,latitude}')::float8)
) where private_info -> 'location' is not null;
create index media_by_camera on media ((private_info #>> '{exif,Model}'), create_time desc)
    where private_info #>> '{exif,Model}' is not null;
-- No list is in this order.
drop index media_by_capture;

-- Lists in these orders, and filtered by these, read index entries and not rows, too.
drop index media_by_project;
create index media_by_project on media (project_id, create_time desc, media_id desc)
    include (org_id, delete_time, kind, state, visibility, content_type, size_bytes, width, height, duration_seconds,
             tag_hashes, capture_time, update_time, rating)
    where project_id <> '';
drop index media_by_owner;
create index media_by_owner on media (org_id, owner_type, owner_id, create_time desc, media_id desc)
    include (delete_time, kind, state, visibility, content_type, size_bytes, width, height, duration_seconds,
             tag_hashes, capture_time, update_time, rating);
