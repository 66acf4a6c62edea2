-- Quotas of the bytes of renditions. RENDITION_BYTES: of renditions, and of the segments of all streams.
alter table quotas
    drop constraint quotas_measure_check,
    add constraint quotas_measure_check check (measure in ('BYTES', 'MEDIA', 'FILE_BYTES', 'RENDITION_BYTES'));

-- What a media or an upload changes in one measure of the accounts that pay for it.
create type quota_charge as (
    org_id text,
    owner_type text,
    owner_id text,
    project_id text,
    measure text,
    reserved bigint,
    used bigint
);

-- Charges all changes of a statement at once. Only an increase can be refused, with the error MQ001. The row of BYTES
-- locks its account: whatever charges several measures one after the other, in whichever order, waits in no circle.
create function charge_accounts(changes quota_charge[]) returns void language plpgsql as $$
declare
    entry record;
    total numeric;
begin
    perform from (
        select distinct a.container, a.account
        from (select distinct c.org_id, c.owner_type, c.owner_id, c.project_id from unnest(changes) c) c
        cross join lateral accounts_of(c.org_id, c.owner_type, c.owner_id, c.project_id) a
    ) w
    join quotas q on q.account = w.account and q.measure = 'BYTES'
    order by w.container collate "C", w.account collate "C"
    for update of q;
    if not found then
        return;
    end if;
    for entry in
        select q.account, q.measure, q.hard_limit, q.soft_limit, q.reserved, q.used, q.soft_exceed_time,
               w.reserved as more_reserved, w.used as more_used
        from (
            select a.account, c.measure, sum(c.reserved) as reserved,
                   case c.measure when 'FILE_BYTES' then max(c.used) else sum(c.used) end as used
            from (
                select c.org_id, c.owner_type, c.owner_id, c.project_id, c.measure, sum(c.reserved) as reserved,
                       case c.measure when 'FILE_BYTES' then max(c.used) else sum(c.used) end as used
                from unnest(changes) c
                group by c.org_id, c.owner_type, c.owner_id, c.project_id, c.measure
            ) c
            cross join lateral accounts_of(c.org_id, c.owner_type, c.owner_id, c.project_id) a
            group by a.account, c.measure
        ) w
        join quotas q on q.account = w.account and q.measure = w.measure
        where w.reserved <> 0 or w.used <> 0
        order by q.account, q.measure
    loop
        total := entry.reserved + entry.used + entry.more_reserved + entry.more_used;
        if entry.more_reserved + entry.more_used > 0 and total > entry.hard_limit then
            raise exception 'quota exceeded' using errcode = 'MQ001', detail = json_build_object(
                'account', entry.account, 'measure', entry.measure, 'limit', entry.hard_limit,
                'used', entry.reserved + entry.used, 'wanted', entry.more_reserved + entry.more_used
            );
        end if;
        if entry.measure <> 'FILE_BYTES' then
            update quotas q
            set reserved = entry.reserved + entry.more_reserved, used = entry.used + entry.more_used,
                soft_exceed_time = case
                    when total > entry.soft_limit then coalesce(entry.soft_exceed_time, now())
                end
            where q.account = entry.account and q.measure = entry.measure;
        end if;
    end loop;
end
$$;

create or replace function charge(changes quota_change[]) returns void language plpgsql as $$
declare
    charges quota_charge[];
begin
    select array_agg(
        row(c.org_id, c.owner_type, c.owner_id, c.project_id, m.measure, m.reserved, m.used)::quota_charge
    ) into charges
    from unnest(changes) c
    cross join lateral (values
        ('BYTES', c.reserved, c.used),
        ('MEDIA', c.reserved_media, c.used_media),
        ('FILE_BYTES', 0, greatest(c.file_bytes, 0))
    ) m (measure, reserved, used)
    where m.reserved <> 0 or m.used <> 0;
    if charges is not null then
        perform charge_accounts(charges);
    end if;
end
$$;

-- Locks the quotas of all that a transaction will charge in several statements. Returns whether there are any.
create or replace function lock_quotas(charged json) returns boolean language plpgsql as $$
begin
    lock table quotas in row exclusive mode;
    perform from (
        select distinct a.container, a.account
        from json_to_recordset(charged) as c (org_id text, owner_type text, owner_id text, project_id text)
        cross join lateral accounts_of(c.org_id, c.owner_type, c.owner_id, c.project_id) a
    ) w
    join quotas q on q.account = w.account and q.measure = 'BYTES'
    order by w.container collate "C", w.account collate "C"
    for update of q;
    return found;
end
$$;

-- What a media has more or less of one measure.
create type media_amount as (media_id uuid, amount bigint);

create function charge_media(measure text, changes media_amount[]) returns void language plpgsql as $$
declare
    charges quota_charge[];
begin
    select array_agg(
        row(m.org_id, m.owner_type, m.owner_id, m.project_id, charge_media.measure, 0, m.amount)::quota_charge
    ) into charges
    from (
        select m.org_id, m.owner_type, m.owner_id, m.project_id, sum(c.amount)::bigint as amount
        from unnest(changes) c join media m on m.media_id = c.media_id
        group by m.org_id, m.owner_type, m.owner_id, m.project_id
    ) m
    where m.amount <> 0;
    if charges is not null then
        perform charge_accounts(charges);
    end if;
end
$$;

-- Charges the blobs of rows with a `media_id`. The argument is the measure.
create function charge_blobs_of_media() returns trigger language plpgsql as $$
declare
    changes media_amount[];
begin
    lock table quotas in row exclusive mode;
    if not exists (select from quotas) then
        return null;
    end if;
    if tg_op = 'INSERT' then
        select array_agg(row(n.media_id, b.size_bytes)::media_amount) into changes
        from new_rows n join blobs b on b.blob_id = n.blob_id;
    elsif tg_op = 'DELETE' then
        select array_agg(row(o.media_id, -b.size_bytes)::media_amount) into changes
        from old_rows o join blobs b on b.blob_id = o.blob_id;
    else
        select array_agg(row(r.media_id, r.times * b.size_bytes)::media_amount) into changes
        from (
            select n.media_id, n.blob_id, 1 as times from new_rows n
            union all
            select o.media_id, o.blob_id, -1 from old_rows o
        ) r
        join blobs b on b.blob_id = r.blob_id;
    end if;
    if changes is not null then
        perform charge_media(tg_argv[0], changes);
    end if;
    return null;
end
$$;

create trigger charge_new_renditions after insert on renditions
referencing new table as new_rows for each statement execute function charge_blobs_of_media('RENDITION_BYTES');

create trigger charge_changed_renditions after update on renditions
referencing old table as old_rows new table as new_rows
for each statement execute function charge_blobs_of_media('RENDITION_BYTES');

create trigger charge_removed_renditions after delete on renditions
referencing old table as old_rows for each statement execute function charge_blobs_of_media('RENDITION_BYTES');

-- Segments are removed before their stream, which says what they belong to.
create function charge_segments() returns trigger language plpgsql as $$
declare
    changes media_amount[];
begin
    lock table quotas in row exclusive mode;
    if not exists (select from quotas) then
        return null;
    end if;
    if tg_op = 'INSERT' then
        select array_agg(row(s.media_id, b.size_bytes)::media_amount) into changes
        from new_rows n join streams s on s.stream_id = n.stream_id join blobs b on b.blob_id = n.blob_id;
    else
        select array_agg(row(s.media_id, -b.size_bytes)::media_amount) into changes
        from old_rows o join streams s on s.stream_id = o.stream_id join blobs b on b.blob_id = o.blob_id;
    end if;
    if changes is not null then
        perform charge_media('RENDITION_BYTES', changes);
    end if;
    return null;
end
$$;

create trigger charge_new_segments after insert on stream_segments
referencing new table as new_rows for each statement execute function charge_segments();

create trigger charge_removed_segments after delete on stream_segments
referencing old table as old_rows for each statement execute function charge_segments();

-- The blobs of each media that are charged, apart from its original.
create view charged_blobs as
    select r.media_id, 'RENDITION_BYTES' as measure, b.size_bytes
    from renditions r join blobs b on b.blob_id = r.blob_id
    union all
    select s.media_id, 'RENDITION_BYTES', b.size_bytes
    from streams s
    join stream_segments g on g.stream_id = s.stream_id
    join blobs b on b.blob_id = g.blob_id;

-- A media that is transferred counts for its new accounts, with its renditions. The lock makes segments wait that are
-- being added, or this transfer for them, so that each is charged to the account that has it at the end.
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
                values ('BYTES', new.size_bytes), ('MEDIA', 1)
                union all
                select b.measure, sum(b.size_bytes)::bigint
                from charged_blobs b where b.media_id = new.media_id group by b.measure
            ) c (measure, amount)
        ));
    end if;
    return null;
end
$$;

-- The owner of a project without an organization pays for what is in it. Nothing is charged meanwhile.
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
                and u.state in ('ACTIVE', 'VERIFYING')
                union all
                select c.measure, 0, c.used
                from (
                    select coalesce(sum(m.size_bytes), 0)::bigint as bytes, count(*) as media
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

-- Each account that has a ledger gets the new measure, as it is now.
lock table quotas in share row exclusive mode;
insert into quotas (account, measure, used)
select q.account, 'RENDITION_BYTES', coalesce(c.used, 0)
from quotas q
left join (
    select a.account, sum(m.bytes)::bigint as used
    from (
        select m.org_id, m.owner_type, m.owner_id, m.project_id, sum(b.size_bytes) as bytes
        from media m join charged_blobs b on b.media_id = m.media_id
        where exists (select from quotas)
        group by m.org_id, m.owner_type, m.owner_id, m.project_id
    ) m
    cross join lateral accounts_of(m.org_id, m.owner_type, m.owner_id, m.project_id) a
    group by a.account
) c on c.account = q.account
where q.measure = 'BYTES';
