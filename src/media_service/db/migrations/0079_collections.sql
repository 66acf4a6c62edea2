-- Ordered selections of media. `path`: the ids of the collections around it, from the outermost, and its own.
-- `filter`: of a smart one. Its members are then computed.
create table collections (
    collection_id uuid primary key,
    org_id text not null default '',
    owner_type text not null,
    owner_id text not null,
    project_id text not null default '',
    parent_id uuid references collections,
    path uuid[] not null check (path[cardinality(path)] = collection_id and cardinality(path) <= 5),
    title text not null,
    description text not null default '',
    filter text not null default '',
    cover_media_id uuid references media on delete set null,
    revision bigint not null default 1,
    create_time timestamptz not null default now(),
    update_time timestamptz not null default now()
);
create index collections_by_owner on collections
    (org_id, owner_type, owner_id, create_time desc, collection_id desc);
create index collections_by_project on collections (project_id, create_time desc, collection_id desc)
    where project_id <> '';
create index collections_by_organization on collections (org_id, create_time desc, collection_id desc)
    where org_id <> '';
create index collections_by_time on collections (create_time desc, collection_id desc);
create index collections_by_path on collections using gin (path);
create index collections_by_parent on collections (parent_id) where parent_id is not null;
create index collections_by_cover on collections (cover_media_id) where cover_media_id is not null;

-- `shared`: who added it could share it. So whoever has a role on the collection may read it.
create table collection_members (
    collection_id uuid not null references collections on delete cascade,
    media_id uuid not null references media on delete cascade,
    position bigint not null,
    shared boolean not null,
    add_time timestamptz not null default now(),
    primary key (collection_id, media_id)
);
create index collection_members_by_position on collection_members (collection_id, position, media_id) include (shared);
create index collection_members_by_media on collection_members (media_id) where shared;

-- As before (see the migration `role_functions`), and if a caller has no role on a media, whether a collection shares it
-- with them: then they are VIEWER. Those who have a role pay nothing for it.
create or replace function role_of(
    principal text, principal_type text, principal_id text, claimed_org text, claim_issuer text, administrator boolean,
    thing_org text, thing_owner_type text, thing_owner_id text, keys text[], at_time timestamptz
) returns integer language plpgsql stable parallel safe set plan_cache_mode = force_generic_plan as $$
declare
    owned boolean := (thing_owner_type, thing_owner_id) = (principal_type, principal_id);
    organizations text[];
    principals text[];
    granted integer;
begin
    if principal is null or principal_type = 'link' then
        return 0;
    end if;
    if owned and claimed_org = '' and thing_org = '' then
        return 5;
    end if;
    organizations := organizations_of(principal, principal_type, claimed_org, claim_issuer, at_time);
    if thing_org = any(organizations) then
        if owned then
            return 5;
        end if;
        principals := principals_of(principal, organizations);
        granted := (
            select max(found.role) from (
                select g.role from access_grants g
                where g.resource = any(keys) and g.grantee = any(principals)
                  and (g.expire_time is null or g.expire_time > at_time)
                union all
                select least(g.role, member.role) from access_grants g
                cross join lateral (
                    select max(p.role) as role from access_grants p
                    where p.resource = g.grantee and p.grantee = any(principals)
                      and (p.expire_time is null or p.expire_time > at_time)
                ) member
                where g.resource = any(keys) and g.grantee >= 'project:' and g.grantee < 'project;'
                  and (g.expire_time is null or g.expire_time > at_time) and member.role > 0
            ) found
        );
    end if;
    if claimed_org in ('', thing_org) then
        granted := greatest(0, granted, service_role_of(principal, administrator, at_time));
    end if;
    if coalesce(granted, 0) = 0 and thing_org = any(organizations) and starts_with(keys[1], 'media:') and exists (
        select from collection_members m
        join collections k on k.collection_id = m.collection_id
        where m.media_id = substr(keys[1], 7)::uuid and m.shared and k.org_id = thing_org
          and role_of(
              principal, principal_type, principal_id, claimed_org, claim_issuer, administrator,
              k.org_id, k.owner_type, k.owner_id, keys_of_collection(k), at_time
          ) > 0
    ) then
        return 1;
    end if;
    return greatest(0, granted);
end
$$;

-- The resources of grants that apply to a collection.
create function keys_of_collection(k collections) returns text[] language sql stable parallel safe as $$
    select array(select 'collection:' || c.id from unnest(k.path) as c (id)) || array[
        case when strpos(k.org_id, '/') = 0 then
            'owner:' || k.org_id || '/' || k.owner_type || ':' || k.owner_id
        end,
        'project:' || k.project_id,
        'organization:' || k.org_id
    ]
$$;
