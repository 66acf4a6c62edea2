-- Renditions of earlier versions, which those of a newer one have replaced at their address. Deleting a version that
-- has some is an error: the references to their blobs are removed first, and a server of the release before does not
-- know them.
create table version_renditions (
    media_id uuid not null,
    version integer not null,
    name text not null,
    blob_id uuid not null references blobs,
    content_type text not null,
    create_time timestamptz not null,
    pipeline text not null,
    width integer not null,
    height integer not null,
    primary key (media_id, version, name),
    foreign key (media_id, version) references media_versions
);
create index version_renditions_by_blob on version_renditions (blob_id);

create trigger charge_new_renditions after insert on version_renditions
referencing new table as new_rows for each statement execute function charge_blobs_of_media('RENDITION_BYTES');

create trigger charge_changed_renditions after update on version_renditions
referencing old table as old_rows new table as new_rows
for each statement execute function charge_blobs_of_media('RENDITION_BYTES');

create trigger charge_removed_renditions after delete on version_renditions
referencing old table as old_rows for each statement execute function charge_blobs_of_media('RENDITION_BYTES');

create or replace view charged_blobs as
    select r.media_id, 'RENDITION_BYTES' as measure, b.size_bytes
    from renditions r join blobs b on b.blob_id = r.blob_id
    union all
    select r.media_id, 'RENDITION_BYTES', b.size_bytes
    from version_renditions r join blobs b on b.blob_id = r.blob_id
    union all
    select s.media_id, 'RENDITION_BYTES', b.size_bytes
    from streams s
    join stream_segments g on g.stream_id = s.stream_id
    join blobs b on b.blob_id = g.blob_id
    union all
    select r.media_id, 'CACHE_BYTES', b.size_bytes
    from renders r join blobs b on b.blob_id = r.blob_id;
