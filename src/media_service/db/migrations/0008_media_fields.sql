-- What callers say of a media: the project that contains it, labels, when it was taken, when it is to be deleted.
alter table media
    add column project_id text not null default '',
    add column labels jsonb not null default '{}' check (jsonb_typeof(labels) = 'object'),
    -- Set by a caller, or else by inspection.
    add column capture_time timestamptz,
    add column expire_time timestamptz,
    -- As uploaded; `filename` can be changed.
    add column original_filename text not null default '',
    add column ready_time timestamptz,
    add column blurhash text not null default '',
    add column dominant_color text not null default '',
    -- Counted without a change of the revision.
    add column view_count bigint not null default 0,
    add column download_count bigint not null default 0;

update media set original_filename = filename;
-- Of media that are older than their jobs are kept it is not known when they became READY.
update media m set ready_time = j.end_time
from jobs j
where j.subject_id = m.media_id and j.kind = 'INGEST' and j.state = 'SUCCEEDED' and m.info is not null;
update media
set blurhash = coalesce(info ->> 'blurhash', ''),
    dominant_color = ltrim(coalesce(info ->> 'dominant_color', ''), '#'),
    info = info - 'blurhash' - 'dominant_color'
where info ?| array['blurhash', 'dominant_color'];

-- What lists filter on.
alter table media
    add column width integer generated always as ((info ->> 'width')::integer) stored,
    add column height integer generated always as ((info ->> 'height')::integer) stored,
    add column duration_seconds double precision
        generated always as ((info ->> 'duration_seconds')::double precision) stored;
create index media_by_project on media (project_id, create_time desc, media_id desc) where project_id <> '';
create index media_by_labels on media using gin (labels jsonb_path_ops);
create index media_by_capture on media (org_id, owner_type, owner_id, capture_time desc)
    where capture_time is not null;
create index media_to_expire on media (expire_time) where expire_time is not null and delete_time is null;

alter table media
    drop constraint media_visibility_check,
    add constraint media_visibility_check check (visibility in ('PRIVATE', 'PUBLIC', 'PUBLIC_ORIGINAL'));

-- Until now each media has one version, which all its renditions were made from.
update renditions set version = 1 where version = 0;
alter table renditions alter column version set default 1;
