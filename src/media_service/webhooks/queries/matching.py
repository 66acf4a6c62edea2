"""Which events a webhook gets: SQL about a webhook `w` and an event `e`."""

TYPED = "(w.types = '{}' or w.types && array[e.type, split_part(e.type, '.', 1) || '.*'])"
IN_PROJECTS = "(w.project_ids = '{}' or e.project_id = any(w.project_ids))"
# A creator that was deleted gets nothing.
CREATED = """
    case when w.owner_type = 'service_account' then exists (
        select from service_accounts a
        where a.service_account_id = w.owner_id::uuid and a.delete_time is null
    ) else true end
"""
FILTERED = f"w.disable_reason = '' and {TYPED} and {IN_PROJECTS} and {CREATED}"

# Each of these has an index.
OF_PROJECT = "w.resource = 'project:' || e.project_id and w.org_id = e.org_id"
OF_ORGANIZATION = "w.resource = 'organization:' || e.org_id and w.org_id = e.org_id"
OF_OWNER = """
    w.resource = '' and (w.org_id, w.owner_type, w.owner_id) = (e.org_id, e.owner_type, e.owner_id)
"""
SUBSCRIBED = f"(({OF_PROJECT}) or ({OF_ORGANIZATION}) or ({OF_OWNER}))"
