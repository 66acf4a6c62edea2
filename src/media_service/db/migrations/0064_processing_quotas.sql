-- Quotas of the seconds for which jobs hold slots of workers, by calendar month in UTC.
--   period_start: the month that `used` of PROCESSING_SECONDS counts; null: nothing yet
alter table quotas
    add column period_start timestamptz,
    drop constraint quotas_measure_check,
    add constraint quotas_measure_check check (
        measure in ('BYTES', 'MEDIA', 'FILE_BYTES', 'RENDITION_BYTES', 'CACHE_BYTES', 'PROCESSING_SECONDS')
    );

-- For how long the attempts at a job held a slot, apart from those that the service itself ended.
alter table jobs add column slot_seconds double precision not null default 0;

-- The beginning of the month of a time, in UTC.
create function month_of(at timestamptz) returns timestamptz language sql immutable parallel safe as $$
    select date_trunc('month', at at time zone 'UTC') at time zone 'UTC'
$$;

-- The seconds for which a job is charged in this month: those of all its attempts, once it has ended.
create function charged_seconds(end_time timestamptz, slot_seconds double precision)
returns bigint language sql stable parallel safe as $$
    select case when end_time >= month_of(now()) then ceil(slot_seconds)::bigint else 0 end
$$;

-- What a quota counts now: nothing, if it is that of an earlier month.
create function used_now(used bigint, period_start timestamptz) returns bigint language sql stable parallel safe as $$
    select case when period_start < month_of(now()) then 0 else used end
$$;

-- An attempt counts if the work itself or a caller ended it. It does not if its worker died or stopped, if it gave way to
-- others, or if an outage ended it. Virus scans never do.
create function time_attempt() returns trigger language plpgsql as $$
begin
    new.slot_seconds := new.slot_seconds + greatest(0, extract(epoch from clock_timestamp() - old.start_time));
    return new;
end
$$;

create trigger time_attempt before update of state on jobs
for each row when (
    old.state = 'RUNNING' and new.state <> 'RUNNING' and old.holds_slot
    and old.owner_type is not null and old.kind <> 'SCAN'
    and (new.attempt, new.lost_leases, new.outages) = (old.attempt, old.lost_leases, old.outages)
)
execute function time_attempt();

-- Charges seconds. Nothing is refused, because the jobs have run.
create function charge_seconds(changes quota_charge[]) returns void language plpgsql as $$
begin
    if not lock_accounts(changes) then
        return;
    end if;
    update quotas q
    set used = used_now(q.used, q.period_start) + w.used, period_start = month_of(now()),
        soft_exceed_time = case
            when used_now(q.used, q.period_start) + w.used > q.soft_limit
            then coalesce(case when q.period_start = month_of(now()) then q.soft_exceed_time end, now())
        end
    from (
        select a.account, sum(c.used)::bigint as used
        from unnest(changes) c
        cross join lateral accounts_of(c.org_id, c.owner_type, c.owner_id, c.project_id) a
        group by a.account
    ) w
    where q.account = w.account and q.measure = 'PROCESSING_SECONDS' and w.used <> 0
    -- Otherwise, the month has ended since this transaction began.
    and (q.period_start is null or q.period_start <= month_of(now()));
end
$$;

create function charge_job() returns trigger language plpgsql as $$
begin
    lock table quotas in row exclusive mode;
    if exists (select from quotas) then
        perform charge_seconds(array[
            row(old.org_id, old.owner_type, old.owner_id, old.project_id, 'PROCESSING_SECONDS', 0,
                -charged_seconds(old.end_time, old.slot_seconds)),
            row(new.org_id, new.owner_type, new.owner_id, new.project_id, 'PROCESSING_SECONDS', 0,
                charged_seconds(new.end_time, new.slot_seconds))
        ]::quota_charge[]);
    end if;
    return null;
end
$$;

-- At the commit, when the transaction has all other locks: the cancellation of a job waits for those that store its
-- segments, which are charged, too. Subjobs are charged with their parent.
create constraint trigger charge_job after update on jobs deferrable initially deferred
for each row when (
    new.parent_id is null and new.owner_type is not null and (old.slot_seconds > 0 or new.slot_seconds > 0)
    and (old.end_time, old.slot_seconds, old.org_id, old.owner_type, old.owner_id, old.project_id)
        is distinct from (new.end_time, new.slot_seconds, new.org_id, new.owner_type, new.owner_id, new.project_id)
)
execute function charge_job();

-- The owner of a project without an organization pays for what is in it. Nothing is charged meanwhile.
create function charge_moved_seconds() returns trigger language plpgsql as $$
begin
    lock table quotas in share row exclusive mode;
    if exists (select from quotas) then
        perform charge_seconds(array(
            select row('', p.owner_type, p.owner_id, '', 'PROCESSING_SECONDS', 0, p.times * s.seconds)::quota_charge
            from (values (-1, old.owner_type, old.owner_id), (1, new.owner_type, new.owner_id))
                p (times, owner_type, owner_id)
            cross join (
                select coalesce(sum(charged_seconds(j.end_time, j.slot_seconds)), 0)::bigint as seconds
                from jobs j where j.project_id <> '' and j.project_id = new.project_id and j.parent_id is null
            ) s
        ));
    end if;
    return null;
end
$$;

create trigger charge_moved_seconds after update of owner_type, owner_id on projects
for each row when (
    old.org_id = '' and (old.owner_type, old.owner_id) is distinct from (new.owner_type, new.owner_id)
)
execute function charge_moved_seconds();

-- The quotas that leave no room for any more processing of a media.
create function exhausted_quotas(org_id text, owner_type text, owner_id text, project_id text)
returns table (account text, measure text, hard_limit bigint, used bigint) language sql stable parallel safe as $$
    select q.account, q.measure, q.hard_limit, used_now(q.used, q.period_start)
    from accounts_of($1, $2, $3, $4) a join quotas q on q.account = a.account
    where q.measure in ('RENDITION_BYTES', 'PROCESSING_SECONDS') and used_now(q.used, q.period_start) >= q.hard_limit
    order by q.account, q.measure
$$;

-- Each account that has a ledger gets the new measure. Jobs that have ended so far do not count.
lock table quotas in share row exclusive mode;
insert into quotas (account, measure) select account, 'PROCESSING_SECONDS' from quotas where measure = 'BYTES';
