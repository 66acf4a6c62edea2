-- Quotas of cached renders. CACHE_BYTES refuses nothing: the service removes the renders that were used the longest
-- time ago.
alter table quotas
    drop constraint quotas_measure_check,
    add constraint quotas_measure_check
        check (measure in ('BYTES', 'MEDIA', 'FILE_BYTES', 'RENDITION_BYTES', 'CACHE_BYTES'));
-- Whether there are any.
create index quotas_of_caches on quotas (account) where measure = 'CACHE_BYTES' and hard_limit is not null;

create or replace view charged_blobs as
    select r.media_id, 'RENDITION_BYTES' as measure, b.size_bytes
    from renditions r join blobs b on b.blob_id = r.blob_id
    union all
    select s.media_id, 'RENDITION_BYTES', b.size_bytes
    from streams s
    join stream_segments g on g.stream_id = s.stream_id
    join blobs b on b.blob_id = g.blob_id
    union all
    select r.media_id, 'CACHE_BYTES', b.size_bytes
    from renders r join blobs b on b.blob_id = r.blob_id;

-- Locks the accounts that pay for some changes, in one order. The row of BYTES is the lock of all measures: whatever
-- charges several of them one after the other, in whichever order, waits in no circle. Returns whether there are any.
create function lock_accounts(changes quota_charge[]) returns boolean language plpgsql as $$
begin
    perform from (
        select distinct a.container, a.account
        from (select distinct c.org_id, c.owner_type, c.owner_id, c.project_id from unnest(changes) c) c
        cross join lateral accounts_of(c.org_id, c.owner_type, c.owner_id, c.project_id) a
    ) w
    join quotas q on q.account = w.account and q.measure = 'BYTES'
    order by w.container collate "C", w.account collate "C"
    for update of q;
    return found;
end
$$;

-- Charges all changes of a statement at once. Only an increase can be refused, with the error MQ001.
create or replace function charge_accounts(changes quota_charge[]) returns void language plpgsql as $$
declare
    entry record;
    total numeric;
begin
    if not lock_accounts(changes) then
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
        if entry.more_reserved + entry.more_used > 0 and total > entry.hard_limit and entry.measure <> 'CACHE_BYTES' then
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

create trigger charge_new_renders after insert on renders
referencing new table as new_rows for each statement execute function charge_blobs_of_media('CACHE_BYTES');

create trigger charge_changed_renders after update on renders
referencing old table as old_rows new table as new_rows
for each statement execute function charge_blobs_of_media('CACHE_BYTES');

create trigger charge_removed_renders after delete on renders
referencing old table as old_rows for each statement execute function charge_blobs_of_media('CACHE_BYTES');

-- Each account that has a ledger gets the new measure, as it is now.
lock table quotas in share row exclusive mode;
insert into quotas (account, measure, used)
select q.account, 'CACHE_BYTES', coalesce(c.used, 0)
from quotas q
left join (
    select a.account, sum(m.bytes)::bigint as used
    from (
        select m.org_id, m.owner_type, m.owner_id, m.project_id, sum(b.size_bytes) as bytes
        from media m join charged_blobs b on b.media_id = m.media_id
        where b.measure = 'CACHE_BYTES' and exists (select from quotas)
        group by m.org_id, m.owner_type, m.owner_id, m.project_id
    ) m
    cross join lateral accounts_of(m.org_id, m.owner_type, m.owner_id, m.project_id) a
    group by a.account
) c on c.account = q.account
where q.measure = 'BYTES';
