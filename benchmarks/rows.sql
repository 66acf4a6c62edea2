-- `n` counts by time, and so do rows on disk, as if they had been uploaded. The first 40 projects have nine of ten media;
-- of these, the first projects have several times as many as the last.
create temporary table drawn as
select n, gen_random_uuid() as blob_id, ago, uuidv7(-ago) as media_id, now() - ago as create_time,
       case when lot < 0.9 then 1 + floor(power(random(), 1.4) * $main)::int
            else 1 + $main + floor(random() * $tenants)::int end as project,
       case when dice < 0.8 then 'IMAGE' when dice < 0.9 then 'VIDEO' when dice < 0.94 then 'AUDIO'
            else 'DOCUMENT' end as kind,
       random() as style, random() as chance, random() as quality,
       exp(13 + 4 * random())::bigint as weight
from (
    select n, random() as dice, random() as lot,
           (interval '1100 days') * (1 - n / $media::float8) + interval '1 second' as ago
    from generate_series(1, $media) n
) lots;

insert into organizations (organization_id)
select 'studio' union all select 'tenant-' || n from generate_series(1, $tenants) n;

insert into projects (project_id, org_id, owner_type, owner_id)
select 'project-' || n, case when n > $main then 'tenant-' || n - $main else 'studio' end,
       'user', 'owner-' || n
from generate_series(1, $main + $tenants) n;

insert into groups (group_id, org_id) values ('all', 'studio');
insert into group_members (group_id, member) values ('all', 'user:everywhere');
insert into access_grants (resource, grantee, role)
select 'organization:studio', 'user:' || name, 0
from unnest(array['everywhere', 'five', 'one', 'single']) name
union all select 'organization:' || org_id, owner_type || ':' || owner_id, 0 from projects
union all select 'project:project-' || n, 'group:all', 1 from generate_series(1, $main) n
union all select 'project:project-' || n * 8, 'user:five', 3 from generate_series(1, 5) n
union all values ('project:project-1', 'user:one', 3);
insert into access_grants (resource, grantee, role)
select 'project:project-' || 1 + n % $main, 'user:member-' || n, 1
from generate_series(1, $media / 50) n;

insert into blobs (blob_id, store, key, size_bytes, crc32c, sha256)
select blob_id, 'raw', 'blobs/' || blob_id, weight, n,
       -- One of 50 has the bytes of an earlier one.
       sha256((case when n % 50 = 0 then n - 49 else n end)::text::bytea)
from drawn;

create temporary table named as
select *,
       case kind
           when 'IMAGE' then case
               when style < 0.5 then 'IMG_' || lpad((n % 10000)::text, 4, '0') || '.jpg'
               when style < 0.75 then 'DSC_' || lpad((n % 10000)::text, 4, '0') || '.JPG'
               when style < 0.9 then 'PXL_' || to_char(create_time, 'YYYYMMDD_HH24MISSMS') || '.jpg'
               else $word || '-' || $word || '-' || n % 40 || '.png'
           end
           when 'VIDEO' then case
               when style < 0.6 then 'MVI_' || lpad((n % 10000)::text, 4, '0') || '.MP4'
               else $word || '_final_v' || n % 9 || '.mov'
           end
           when 'AUDIO' then $word || ' ' || $word || '.mp3'
           else $word || '-report-' || 2023 + n % 4 || '.pdf'
       end as filename,
       case when chance < 0.35 then concat_ws(' ', initcap($word), $word, $word)
            when chance < 0.7 then concat_ws(' ', initcap($word), $word)
            else '' end as title,
       case when chance < 0.3 then concat_ws(' ', $word, $word, 'near', $word, 'with', $word, 'and', $word)
            else '' end as description,
       -- About two. The condition makes PostgreSQL draw anew for each row.
       array(select distinct $tag from generate_series(1, floor(quality * 5)::int) where n > 0) as tags,
       kind in ('IMAGE', 'VIDEO') and style < 0.9 as of_camera
from drawn;

insert into media (
    media_id, org_id, owner_type, owner_id, state, kind, content_type, size_bytes, filename, original_filename, title,
    description, tags, labels, project_id, create_time, update_time, ready_time, capture_time, visibility, rating,
    delete_time, purge_time, info, private_info
)
select
    media_id,
    case when project > $main then 'tenant-' || project - $main else 'studio' end,
    'user', 'owner-' || project,
    case when chance > 0.999 then 'FAILED' else 'READY' end,
    kind,
    case kind
        when 'IMAGE' then case when style < 0.9 then 'image/jpeg' else 'image/png' end
        when 'VIDEO' then case when style < 0.6 then 'video/mp4' else 'video/quicktime' end
        when 'AUDIO' then 'audio/mpeg'
        else 'application/pdf'
    end,
    weight * case kind when 'VIDEO' then 40 else 1 end,
    filename, filename, title, description, tags,
    case when style < 0.6
        then jsonb_build_object(
            'client', 'c-' || n % 997, 'status', (array['new', 'approved', 'sold'])[1 + n % 3]
        )
        else '{}'
    end,
    'project-' || project, create_time, create_time, create_time + interval '3 seconds',
    -- Most are uploaded soon after they were taken.
    case when of_camera then create_time - interval '20 days' * power(chance, 4) end,
    case when quality > 0.95 then 'PUBLIC' else 'PRIVATE' end,
    case when quality < 0.8 then 0 else 1 + n % 5 end,
    case when n % 97 = 0 then now() end,
    case when n % 97 = 0 then now() + interval '30 days' end,
    case kind
        when 'IMAGE' then jsonb_build_object(
            'width', (array[6000, 4000, 3024, 8192])[1 + n % 4],
            'height', (array[4000, 6000, 4032, 5464])[1 + n % 4],
            'orientation', 1, 'color_space', 'srgb', 'page_count', 1
        )
        when 'VIDEO' then jsonb_build_object(
            'width', 1920, 'height', 1080, 'duration_seconds', round((quality * 600)::numeric, 2),
            'container', 'mp4', 'video_codec', 'h264', 'frame_rate', 25
        )
        when 'AUDIO' then jsonb_build_object(
            'duration_seconds', round((quality * 4000)::numeric, 2), 'audio_codec', 'mp3'
        )
        else jsonb_build_object('page_count', 1 + n % 30)
    end,
    case when of_camera then jsonb_strip_nulls(jsonb_build_object(
        'exif', jsonb_build_object('Model', (array[
            'Canon EOS R5', 'NIKON Z 8', 'ILCE-7M4', 'X-T5', 'iPhone 15 Pro', 'iPhone 13', 'Pixel 8',
            'SM-S918B', 'DC-GH6', 'FC3582'
        ])[1 + n % 10]),
        'location', case when chance < 0.6 then jsonb_build_object(
            'latitude', round((47 + project * 0.1 + quality)::numeric, 5),
            'longitude', round((8 + project * 0.1 + style)::numeric, 5)
        ) end
    )) end
from named
order by n;

insert into media_versions (media_id, version, blob_id, content_type)
select media_id, 1, blob_id, 'application/octet-stream' from drawn;

insert into access_grants (resource, grantee, role)
select 'media:' || media_id, 'user:single', 1 from drawn
where project between 2 and $main order by hashint4(n) limit 1000;
