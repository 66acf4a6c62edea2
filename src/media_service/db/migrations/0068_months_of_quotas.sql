-- A clock that was in a later month for a moment left a ledger of that month, which then counted nothing until that month
-- had come. Now a ledger counts only in its own month, and one that a wrong clock left begins again.
create or replace function used_now(used bigint, period_start timestamptz)
returns bigint language sql stable parallel safe as $$
    select case when period_start <> month_of(now()) then 0 else used end
$$;

-- Charges seconds. Nothing is refused, because the jobs have run.
create or replace function charge_seconds(changes quota_charge[]) returns void language plpgsql as $$
begin
    if not lock_accounts(changes) then
        return;
    end if;
    update quotas q
    -- A ledger that began again does not have what is taken back.
    set used = greatest(0, used_now(q.used, q.period_start) + w.used), period_start = month_of(now()),
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
    and (q.period_start is null or q.period_start <= month_of(now()) or q.period_start > month_of(clock_timestamp()));
end
$$;
