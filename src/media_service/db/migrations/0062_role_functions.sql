-- The predicate of access (docs/design/access.md) as functions. As text in each statement, it took most of the time
-- that a new connection needs to plan its first statements. The statements of a function are planned once for each
-- connection, whichever statement calls it, and for all parameters at once.
--
-- A caller has a name in grants (`principal`), a type, an id, and what its token claims: an organization, whose claim
-- is of an issuer. Grants must be valid at `at_time`.

-- The organizations that the caller belongs to; '' stands for none. A claim narrows the caller to one organization, and
-- counts if that is bound to the issuer of the claim. One without a row is bound to the service's own issuer. The
-- organization of a service account always counts.
create function organizations_of(
    principal text, principal_type text, claimed_org text, claim_issuer text, at_time timestamptz
) returns text[] language plpgsql stable parallel safe set plan_cache_mode = force_generic_plan as $$
declare
    granted text[] := array(
        select substr(g.resource, 14) from access_grants g
        where g.grantee = principal and g.resource >= 'organization:' and g.resource < 'organization;'
          and (g.expire_time is null or g.expire_time > at_time)
          and claimed_org in ('', substr(g.resource, 14))
    );
begin
    if claimed_org = '' or principal_type = 'service_account' or claim_issuer = coalesce(
        (select o.issuer from organizations o where o.organization_id = claimed_org), ''
    ) then
        return granted || claimed_org;
    end if;
    return granted;
end
$$;

-- The names under which grants reach the caller, except as a member of a project.
create function principals_of(principal text, organizations text[])
returns text[] language plpgsql stable parallel safe set plan_cache_mode = force_generic_plan as $$
begin
    return array(
        select 'everybody'
        union all
        select principal
        union all
        select 'group:' || m.group_id from group_members m where m.member = principal
        union all
        select 'organization:' || o.org_id from unnest(organizations) as o (org_id) where o.org_id <> ''
    );
end
$$;

-- The caller's role on everything in the installation, or, if a claim narrows the caller, on what is in that
-- organization. An administrator is OWNER (5). Null: none.
create function service_role_of(principal text, administrator boolean, at_time timestamptz)
returns integer language plpgsql stable parallel safe set plan_cache_mode = force_generic_plan as $$
begin
    if administrator then
        return 5;
    end if;
    return (
        select g.role from access_grants g
        where g.resource = 'service:' and g.grantee = principal
          and (g.expire_time is null or g.expire_time > at_time)
    );
end
$$;

-- The caller's role on a thing in an organization, with an owner, who is OWNER (5) of it, and with keys: the resources
-- of grants that apply to it. A thing with owner null has none. A role through a project is no higher than the one on
-- that project. No grant reaches a share link.
create function role_of(
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
        return greatest(0, granted, service_role_of(principal, administrator, at_time));
    end if;
    return greatest(0, granted);
end
$$;
