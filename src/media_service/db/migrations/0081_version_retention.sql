-- When a version was replaced by another one, from which its retention counts.
alter table media_versions add column replace_time timestamptz;

-- How long a media stays after it was deleted: as the policy of its project or organization says, the shorter one if
-- both do, and otherwise as the service does.
create function kept_deleted(org_id text, project_id text, otherwise interval)
returns interval language sql stable parallel safe as $$
    select coalesce(make_interval(days => min((p.settings->>'keep_deleted_days')::int)), $3)
    from policies p
    where p.resource in ('organization:' || $1, 'project:' || $2) and p.settings->'keep_deleted_days' is not null
$$;
