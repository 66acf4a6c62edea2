-- The owner of the account of a key, which never changes, so that a list of keys is read from an index.
alter table api_keys
    add column org_id text not null default '',
    add column owner_type text not null default '',
    add column owner_id text not null default '';
update api_keys k
set org_id = a.org_id, owner_type = a.owner_type, owner_id = a.owner_id
from service_accounts a where a.service_account_id = k.service_account_id;
create index api_keys_by_owner on api_keys (org_id, owner_type, owner_id, create_time desc, api_key_id desc);
create index api_keys_by_organization on api_keys (org_id, create_time desc, api_key_id desc) where org_id <> '';
create index api_keys_by_time on api_keys (create_time desc, api_key_id desc);
