-- New content for a media is a new version. Everything about the current version is in the row of the media, as before;
-- a version that is not current has the same in its own row, and `state` is null for the current one.
--   media.latest_version: the highest number that was given, also to a version that was removed
--   media.other_bytes: the originals of all versions but the current one
--   media_versions.found_type: the content type that inspection found
--   media_versions.filename: as uploaded; of the first version, the media has it
alter table media
    add column latest_version integer not null default 1,
    add column other_bytes bigint not null default 0;

alter table media_versions
    add column filename text not null default '',
    add column restored_from integer,
    add column state text check (state in ('PENDING', 'PROCESSING', 'READY', 'FAILED', 'QUARANTINED')),
    add column kind text,
    add column found_type text,
    add column error_reason text,
    add column error_message text,
    add column error_metadata jsonb,
    add column refused boolean not null default false,
    add column info jsonb,
    add column private_info jsonb,
    add column blurhash text not null default '',
    add column dominant_color text not null default '';
create index media_versions_unfinished on media_versions (create_time) where state in ('PENDING', 'PROCESSING');
create index media_with_versions on media (media_id) where latest_version > 1;

-- An upload that replaces the file of its media. `if_etag`: the etag that the media must still have. `version`: that it
-- has created, once it is FINISHED.
alter table uploads
    add column replaces boolean not null default false,
    add column if_etag text not null default '',
    add column version integer not null default 1;

-- The version that a job is about. 0: the one that is current.
alter table jobs add column version integer not null default 0;

-- As before, but an upload that replaces a file adds no media, and its bytes are charged with its version.
create or replace function charge_uploads() returns trigger language plpgsql as $$
declare
    changes quota_change[];
begin
    lock table quotas in row exclusive mode;
    if not exists (select from quotas) then
        return null;
    end if;
    if tg_op = 'INSERT' then
        select array_agg(row(
            n.org_id, n.owner_type, n.owner_id, n.project_id,
            reserved_bytes(n.state, n.size_bytes, n.max_size_bytes, n.committed_size),
            case when n.state = 'FINISHED' and not n.replaces then n.committed_size else 0 end,
            case when n.state in ('ACTIVE', 'VERIFYING') and not n.replaces then 1 else 0 end,
            case when n.state = 'FINISHED' and not n.replaces then 1 else 0 end,
            greatest(n.size_bytes, n.committed_size)
        )::quota_change) into changes
        from new_uploads n where n.state in ('ACTIVE', 'VERIFYING', 'FINISHED');
    else
        -- What it was, taken back, and what it is. For an account that pays for both, `charge` adds them.
        with changed as (
            select n.committed_size,
                   reserved_bytes(o.state, o.size_bytes, o.max_size_bytes, o.committed_size) as was_reserved,
                   reserved_bytes(n.state, n.size_bytes, n.max_size_bytes, n.committed_size) as now_reserved,
                   case when o.state in ('ACTIVE', 'VERIFYING') then 1 else 0 end as was_open,
                   case when n.state in ('ACTIVE', 'VERIFYING') then 1 else 0 end as now_open,
                   case when n.replaces then 0 else 1 end as adds,
                   case when o.state <> 'FINISHED' and n.state = 'FINISHED' then 1 else 0 end as finished,
                   case
                       when n.size_bytes is null and n.committed_size > o.committed_size then n.committed_size
                       else 0
                   end as grown,
                   o.org_id as was_org, o.owner_type as was_type, o.owner_id as was_owner, o.project_id as was_project,
                   n.org_id as now_org, n.owner_type as now_type, n.owner_id as now_owner, n.project_id as now_project
            from new_uploads n join old_uploads o on o.upload_id = n.upload_id
        )
        select array_agg(e.change) into changes
        from changed c cross join lateral (values
            (row(c.was_org, c.was_type, c.was_owner, c.was_project,
                 -c.was_reserved, 0, -c.was_open * c.adds, 0, 0)::quota_change),
            (row(c.now_org, c.now_type, c.now_owner, c.now_project, c.now_reserved,
                 c.finished * c.adds * c.committed_size, c.now_open * c.adds, c.finished * c.adds,
                 c.grown)::quota_change)
        ) e (change)
        where c.was_reserved <> c.now_reserved or c.was_open <> c.now_open or c.finished > 0 or c.grown > 0
           or (c.was_open > 0 and (c.was_org, c.was_type, c.was_owner, c.was_project)
               is distinct from (c.now_org, c.now_type, c.now_owner, c.now_project));
    end if;
    if changes is not null then
        perform charge(changes);
    end if;
    return null;
end
$$;

-- All versions of a media count.
create or replace function charge_purged_media() returns trigger language plpgsql as $$
declare
    changes quota_change[];
begin
    lock table quotas in row exclusive mode;
    if not exists (select from quotas) then
        return null;
    end if;
    select array_agg(
        row(m.org_id, m.owner_type, m.owner_id, m.project_id, 0, -m.size_bytes - m.other_bytes, 0, -1, 0)::quota_change
    ) into changes
    from old_media m;
    if changes is not null then
        perform charge(changes);
    end if;
    return null;
end
$$;

create or replace function charge_resized_media() returns trigger language plpgsql as $$
begin
    lock table quotas in row exclusive mode;
    if exists (select from quotas) then
        perform charge(array[
            row(new.org_id, new.owner_type, new.owner_id, new.project_id, 0,
                new.size_bytes + new.other_bytes - old.size_bytes - old.other_bytes, 0, 0, 0)
        ]::quota_change[]);
    end if;
    return null;
end
$$;

drop trigger charge_resized_media on media;
create trigger charge_resized_media after update of size_bytes, other_bytes on media
for each row when (old.size_bytes + old.other_bytes <> new.size_bytes + new.other_bytes)
execute function charge_resized_media();

create or replace function charge_moved_media() returns trigger language plpgsql as $$
begin
    lock table quotas in row exclusive mode;
    if exists (select from quotas) then
        perform from streams s where s.media_id = new.media_id for update;
        perform charge_accounts(array(
            select row(m.org_id, m.owner_type, m.owner_id, m.project_id, c.measure, 0, m.times * c.amount)::quota_charge
            from (values
                (-1, old.org_id, old.owner_type, old.owner_id, old.project_id),
                (1, new.org_id, new.owner_type, new.owner_id, new.project_id)
            ) m (times, org_id, owner_type, owner_id, project_id)
            cross join (
                values ('BYTES', new.size_bytes + new.other_bytes), ('MEDIA', 1)
                union all
                select b.measure, sum(b.size_bytes)::bigint
                from charged_blobs b where b.media_id = new.media_id group by b.measure
            ) c (measure, amount)
        ));
    end if;
    return null;
end
$$;

create or replace function charge_moved_project() returns trigger language plpgsql as $$
begin
    lock table quotas in share row exclusive mode;
    if exists (select from quotas) then
        perform charge_accounts(array(
            select row('', p.owner_type, p.owner_id, '', c.measure, p.times * c.reserved, p.times * c.used)::quota_charge
            from (values (-1, old.owner_type, old.owner_id), (1, new.owner_type, new.owner_id))
                p (times, owner_type, owner_id)
            cross join lateral (
                select 'BYTES' as measure,
                       coalesce(sum(reserved_bytes(u.state, u.size_bytes, u.max_size_bytes, u.committed_size)), 0)
                           ::bigint as reserved,
                       0::bigint as used
                from uploads u where u.project_id <> '' and u.project_id = new.project_id
                union all
                select 'MEDIA', count(*), 0
                from uploads u where u.project_id <> '' and u.project_id = new.project_id
                and u.state in ('ACTIVE', 'VERIFYING') and not u.replaces
                union all
                select c.measure, 0, c.used
                from (
                    select coalesce(sum(m.size_bytes + m.other_bytes), 0)::bigint as bytes, count(*) as media
                    from media m where m.project_id <> '' and m.project_id = new.project_id
                ) m
                cross join lateral (values ('BYTES', m.bytes), ('MEDIA', m.media)) c (measure, used)
                union all
                select b.measure, 0, sum(b.size_bytes)::bigint
                from media m join charged_blobs b on b.media_id = m.media_id
                where m.project_id <> '' and m.project_id = new.project_id
                group by b.measure
            ) c
        ));
    end if;
    return null;
end
$$;
