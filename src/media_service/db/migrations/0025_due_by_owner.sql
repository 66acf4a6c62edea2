-- What is due of each owner, so that a backlog of one owner does not delay that of others.
create index media_to_purge_by_owner on media (org_id, owner_type, owner_id, purge_time)
    where purge_time is not null;
create index media_to_expire_by_owner on media (org_id, owner_type, owner_id, expire_time)
    where expire_time is not null and delete_time is null;
create index uploads_to_expire_by_owner on uploads (org_id, owner_type, owner_id, expire_time)
    where state = 'ACTIVE';
