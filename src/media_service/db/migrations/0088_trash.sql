-- Lists of deleted media, and EmptyTrash. Media that are not deleted are in neither of these indexes.
create index media_deleted_of_owner on media
    (org_id, owner_type, owner_id, coalesce(delete_time, '-infinity'::timestamptz), media_id)
    include (purge_time)
    where delete_time is not null;
create index media_deleted_in_project on media
    (project_id, coalesce(delete_time, '-infinity'::timestamptz), media_id)
    include (org_id, purge_time)
    where delete_time is not null and project_id <> '';
