-- To count the links of a creator that have not ended.
create index share_links_active on share_links (org_id, owner_type, owner_id, coalesce(expire_time, 'infinity'))
    where revoke_time is null;
