-- The ledger of what accounts may use, and use. An account has a row for each measure once one of its limits is set.
--   account: as a resource of grants: "organization:ID", "project:ID", "owner:ORGANIZATION/TYPE:ID"
--   reserved: for uploads that have not ended; used: by media, including those that are deleted but not purged
--   soft_exceed_time: since when more than the soft limit is in use
create table quotas (
    account text collate "C" not null,
    measure text not null check (measure in ('BYTES', 'MEDIA', 'FILE_BYTES')),
    hard_limit bigint check (hard_limit >= 0),
    soft_limit bigint check (soft_limit >= 0),
    reserved bigint not null default 0,
    used bigint not null default 0,
    soft_exceed_time timestamptz,
    update_time timestamptz not null default now(),
    -- When the ledger was last compared with the uploads and media.
    count_time timestamptz not null default now(),
    primary key (account, measure)
) with (fillfactor = 50);
create index quotas_by_count on quotas (count_time) where measure = 'BYTES';

-- The accounts that pay for an upload or a media. `container`: the account that contains the other one. All
-- transactions lock accounts in the order of (container, account), so that none waits in a circle.
create function accounts_of(org_id text, owner_type text, owner_id text, project_id text)
returns table (container text, account text) language sql stable parallel safe as $$
    select a.container, unnest(array[a.container, a.inner_account])
    from (
        select
            case
                when $1 <> '' then 'organization:' || $1
                when $4 = '' then 'owner:/' || $2 || ':' || $3
                else (select 'owner:/' || p.owner_type || ':' || p.owner_id from projects p where p.project_id = $4)
            end as container,
            case
                when $4 <> '' then 'project:' || $4
                when $1 <> '' then 'owner:' || $1 || '/' || $2 || ':' || $3
            end as inner_account
    ) a
$$;

-- The bytes that an upload reserves: its size, or as long as that is unknown, what is stored and up to 8 MiB more.
create function reserved_bytes(state text, size_bytes bigint, max_size_bytes bigint, committed_size bigint)
returns bigint language sql immutable parallel safe as $$
    select case state
        when 'ACTIVE' then coalesce(size_bytes, least((committed_size / 8388608 + 1) * 8388608, max_size_bytes))
        when 'VERIFYING' then committed_size
        else 0
    end
$$;

-- What one upload or media changes in the accounts that pay for it. `file_bytes`: its size, if it grew.
create type quota_change as (
    org_id text,
    owner_type text,
    owner_id text,
    project_id text,
    reserved bigint,
    used bigint,
    reserved_media bigint,
    used_media bigint,
    file_bytes bigint
);

-- Charges all changes of a statement at once. Only an increase can be refused, with the error MQ001.
create function charge(changes quota_change[]) returns void language plpgsql as $$
declare
    found record;
    total numeric;
begin
    for found in
        select q.account, q.measure, q.hard_limit, q.soft_limit, q.reserved, q.used, q.soft_exceed_time,
               w.reserved as more_reserved, w.used as more_used
        from (
            select a.container, a.account, m.measure, sum(m.reserved) as reserved, sum(m.used) as used
            from unnest(changes) c
            cross join lateral accounts_of(c.org_id, c.owner_type, c.owner_id, c.project_id) a
            cross join lateral (values
                ('BYTES', c.reserved, c.used), ('MEDIA', c.reserved_media, c.used_media)
            ) m (measure, reserved, used)
            where a.account is not null
            group by a.container, a.account, m.measure
            union all
            select a.container, a.account, 'FILE_BYTES', 0, max(c.file_bytes)
            from unnest(changes) c
            cross join lateral accounts_of(c.org_id, c.owner_type, c.owner_id, c.project_id) a
            where a.account is not null and c.file_bytes > 0
            group by a.container, a.account
        ) w
        join quotas q on q.account = w.account and q.measure = w.measure
        where w.reserved <> 0 or w.used <> 0
        order by w.container collate "C", w.account collate "C", w.measure
        for update of q
    loop
        total := found.reserved + found.used + found.more_reserved + found.more_used;
        if found.more_reserved + found.more_used > 0 and total > found.hard_limit then
            raise exception 'quota exceeded' using errcode = 'MQ001', detail = json_build_object(
                'account', found.account, 'measure', found.measure, 'limit', found.hard_limit,
                'used', found.reserved + found.used, 'wanted', found.more_reserved + found.more_used
            );
        end if;
        if found.measure <> 'FILE_BYTES' then
            update quotas q
            set reserved = found.reserved + found.more_reserved, used = found.used + found.more_used,
                soft_exceed_time = case
                    when total > found.soft_limit then coalesce(found.soft_exceed_time, now())
                end
            where q.account = found.account and q.measure = found.measure;
        end if;
    end loop;
end
$$;

-- Locks the quotas of all that a transaction will charge in several statements. Returns whether there are any.
create function lock_quotas(charged json) returns boolean language plpgsql as $$
begin
    lock table quotas in row exclusive mode;
    perform from (
        select distinct a.container, a.account
        from json_to_recordset(charged) as c (org_id text, owner_type text, owner_id text, project_id text)
        cross join lateral accounts_of(c.org_id, c.owner_type, c.owner_id, c.project_id) a
    ) w
    join quotas q on q.account = w.account
    order by w.container collate "C", w.account collate "C", q.measure
    for update of q;
    return found;
end
$$;

-- An upload reserves until it ends. What it reserved is used by its media once it is FINISHED. The lock makes a new
-- quota wait for the transactions that were not charged to it.
create function charge_uploads() returns trigger language plpgsql as $$
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
            case when n.state = 'FINISHED' then n.committed_size else 0 end,
            case when n.state in ('ACTIVE', 'VERIFYING') then 1 else 0 end,
            case when n.state = 'FINISHED' then 1 else 0 end,
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
                 -c.was_reserved, 0, -c.was_open, 0, 0)::quota_change),
            (row(c.now_org, c.now_type, c.now_owner, c.now_project, c.now_reserved,
                 c.finished * c.committed_size, c.now_open, c.finished, c.grown)::quota_change)
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

create trigger charge_new_uploads after insert on uploads
referencing new table as new_uploads for each statement execute function charge_uploads();

create trigger charge_changed_uploads after update on uploads
referencing old table as old_uploads new table as new_uploads for each statement execute function charge_uploads();

-- A purged media no longer counts.
create function charge_purged_media() returns trigger language plpgsql as $$
declare
    changes quota_change[];
begin
    lock table quotas in row exclusive mode;
    if not exists (select from quotas) then
        return null;
    end if;
    select array_agg(
        row(m.org_id, m.owner_type, m.owner_id, m.project_id, 0, -m.size_bytes, 0, -1, 0)::quota_change
    ) into changes
    from old_media m;
    if changes is not null then
        perform charge(changes);
    end if;
    return null;
end
$$;

create trigger charge_purged_media after delete on media
referencing old table as old_media for each statement execute function charge_purged_media();

-- A media that is transferred counts for its new accounts.
create function charge_moved_media() returns trigger language plpgsql as $$
begin
    lock table quotas in row exclusive mode;
    if exists (select from quotas) then
        perform charge(array[
            row(old.org_id, old.owner_type, old.owner_id, old.project_id, 0, -old.size_bytes, 0, -1, 0),
            row(new.org_id, new.owner_type, new.owner_id, new.project_id, 0, new.size_bytes, 0, 1, 0)
        ]::quota_change[]);
    end if;
    return null;
end
$$;

create trigger charge_moved_media after update of org_id, owner_type, owner_id, project_id on media
for each row when (
    (old.org_id, old.owner_type, old.owner_id, old.project_id)
    is distinct from (new.org_id, new.owner_type, new.owner_id, new.project_id)
)
execute function charge_moved_media();

-- The owner of a project without an organization pays for what is in it. Nothing is charged meanwhile.
create function charge_moved_project() returns trigger language plpgsql as $$
declare
    moved record;
begin
    lock table quotas in share row exclusive mode;
    select coalesce((
               select sum(reserved_bytes(u.state, u.size_bytes, u.max_size_bytes, u.committed_size))
               from uploads u where u.project_id <> '' and u.project_id = new.project_id
           ), 0)::bigint as reserved,
           (
               select count(*) from uploads u where u.project_id <> '' and u.project_id = new.project_id
               and u.state in ('ACTIVE', 'VERIFYING')
           ) as reserved_media,
           coalesce(sum(m.size_bytes), 0)::bigint as used, count(*) as used_media
    into moved
    from media m where m.project_id <> '' and m.project_id = new.project_id;
    perform charge(array[
        row('', old.owner_type, old.owner_id, '', -moved.reserved, -moved.used,
            -moved.reserved_media, -moved.used_media, 0),
        row('', new.owner_type, new.owner_id, '', moved.reserved, moved.used,
            moved.reserved_media, moved.used_media, 0)
    ]::quota_change[]);
    return null;
end
$$;

create trigger charge_moved_project after update of owner_type, owner_id on projects
for each row when (
    old.org_id = '' and (old.owner_type, old.owner_id) is distinct from (new.owner_type, new.owner_id)
)
execute function charge_moved_project();
