-- A tenant. A claim of a token counts as membership only if its issuer is `issuer`; empty: the service's own issuer.
create table organizations (
    organization_id text primary key,
    display_name text not null default '',
    issuer text not null default '',
    create_time timestamptz not null default now(),
    update_time timestamptz not null default now()
);

-- A container of media. `org_id` and the owner are those that it is charged to.
create table projects (
    project_id text primary key,
    org_id text not null default '',
    owner_type text not null,
    owner_id text not null,
    display_name text not null default '',
    create_time timestamptz not null default now(),
    update_time timestamptz not null default now()
);
create index projects_by_owner on projects (org_id, owner_type, owner_id);
create index projects_by_time on projects (create_time desc, project_id desc);

-- Users of one organization.
create table groups (
    group_id text primary key,
    org_id text not null references organizations,
    display_name text not null default '',
    create_time timestamptz not null default now(),
    update_time timestamptz not null default now()
);
create index groups_by_organization on groups (org_id, create_time desc, group_id desc);

create table group_members (
    group_id text not null references groups on delete cascade,
    -- As a grantee: "user:ID", "service_account:ID".
    member text collate "C" not null,
    create_time timestamptz not null default now(),
    primary key (group_id, member)
);
create index group_members_by_member on group_members (member, group_id);

-- Who has which role on which resource. Membership of an organization is a grant, too, whose role may be 0.
--   resource: "media:ID", "project:ID", "owner:ORGANIZATION/TYPE:ID", "organization:ID", "service:"
--   grantee: "user:ID", "service_account:ID", "group:ID", "project:ID", "organization:ID", "everybody", "link:ID"
-- Prefixes are compared, so the order must be that of bytes.
create table access_grants (
    resource text collate "C" not null,
    grantee text collate "C" not null,
    role smallint not null check (role between 0 and 5),
    expire_time timestamptz,
    create_time timestamptz not null default now(),
    created_by text not null default '',
    primary key (resource, grantee)
);
create index access_grants_by_grantee on access_grants (grantee, resource) include (role, expire_time);
create index access_grants_to_expire on access_grants (expire_time) where expire_time is not null;

-- Lists by container.
create index media_by_organization on media (org_id, create_time desc, media_id desc) where org_id <> '';
create index media_by_time on media (create_time desc, media_id desc);
create index uploads_by_organization on uploads (org_id, create_time desc, upload_id desc) where org_id <> '';
create index uploads_by_time on uploads (create_time desc, upload_id desc);
create index uploads_by_media on uploads (media_id);
create index jobs_by_project on jobs (project_id, create_time desc, job_id desc) where project_id <> '';
create index jobs_by_organization on jobs (org_id, create_time desc, job_id desc)
    where org_id <> '' and owner_type is not null;
create index jobs_by_time on jobs (create_time desc, job_id desc) where owner_type is not null;

-- Until now, a project was a label that each owner chose. Each becomes a project of its owner, so nobody sees more than
-- before. If several owners chose the same label, the one who used it first keeps the id.
create temporary table labels on commit drop as
select org_id, owner_type, owner_id, project_id as label,
       case row_number() over (
           partition by project_id order by min(create_time), org_id, owner_type, owner_id
       )
           when 1 then project_id
           else left(project_id, 54) || '-'
                || left(md5(concat_ws(E'\n', org_id, owner_type, owner_id, project_id)), 8)
       end as project_id,
       min(create_time) as create_time
from (
    select org_id, owner_type, owner_id, project_id, create_time from media where project_id <> ''
    union all
    select org_id, owner_type, owner_id, project_id, create_time from uploads where project_id <> ''
) used
group by org_id, owner_type, owner_id, used.project_id;

insert into projects (project_id, org_id, owner_type, owner_id, display_name, create_time)
select project_id, org_id, owner_type, owner_id, label, create_time from labels;

insert into access_grants (resource, grantee, role)
select 'project:' || project_id, owner_type || ':' || owner_id, 5 from labels;

update media m set project_id = l.project_id, revision = m.revision + 1
from labels l
where l.project_id <> l.label
  and (m.org_id, m.owner_type, m.owner_id, m.project_id) = (l.org_id, l.owner_type, l.owner_id, l.label);

update uploads u set project_id = l.project_id
from labels l
where l.project_id <> l.label
  and (u.org_id, u.owner_type, u.owner_id, u.project_id) = (l.org_id, l.owner_type, l.owner_id, l.label);

update jobs j set project_id = l.project_id
from labels l
where l.project_id <> l.label
  and (j.org_id, j.owner_type, j.owner_id, j.project_id) = (l.org_id, l.owner_type, l.owner_id, l.label);
