-- Callers that are programs. A service account is managed by its owner.
create table service_accounts (
    service_account_id uuid primary key,
    org_id text not null default '',
    owner_type text not null,
    owner_id text not null,
    display_name text not null,
    create_time timestamptz not null default now(),
    delete_time timestamptz
);
create index service_accounts_by_owner on service_accounts
    (org_id, owner_type, owner_id, create_time desc, service_account_id desc) where delete_time is null;

-- The secrets of service accounts. Only the SHA-256 of a secret is stored.
create table api_keys (
    api_key_id uuid primary key,
    service_account_id uuid not null references service_accounts on delete cascade,
    prefix text not null unique,
    secret_hash bytea not null check (octet_length(secret_hash) = 32),
    display_name text not null default '',
    -- Null: every permission of the service account.
    scopes text[],
    create_time timestamptz not null default now(),
    expire_time timestamptz,
    revoke_time timestamptz,
    last_use_time timestamptz
);
create index api_keys_by_account on api_keys (service_account_id, create_time desc, api_key_id desc);
create index api_keys_ended on api_keys (least(expire_time, revoke_time))
    where expire_time is not null or revoke_time is not null;
