-- Lists with a filter by tag read index entries, not rows, as those with other filters do. The tags of a media may be
-- larger than an index entry, so the entry has their hashes of 64 bits.
create function hashes_of(tags text[]) returns bigint[] language sql immutable parallel safe as $$
    select array(select hashtextextended(t.tag, 0) from unnest(tags) as t (tag))
$$;
alter table media add column tag_hashes bigint[] not null generated always as (
    case when tags = '{}' then '{}' else hashes_of(tags) end
) stored;

drop index media_by_project;
create index media_by_project on media (project_id, create_time desc, media_id desc)
    include (org_id, delete_time, kind, state, visibility, content_type, size_bytes, width, height, duration_seconds,
             tag_hashes)
    where project_id <> '';
drop index media_by_owner;
create index media_by_owner on media (org_id, owner_type, owner_id, create_time desc, media_id desc)
    include (delete_time, kind, state, visibility, content_type, size_bytes, width, height, duration_seconds,
             tag_hashes);
