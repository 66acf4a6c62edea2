-- Secrets that share media with those who have them. Only the SHA-256 of a secret is stored.
--   targets: resources of grants, "media:ID" or one "project:ID"; org_id: their organization
--   owner_type, owner_id, claimed_org_id, claimed_issuer: the caller who created the link; it shares only what they may
create table share_links (
    share_link_id uuid primary key,
    secret_hash bytea not null unique check (octet_length(secret_hash) = 32),
    mode text not null check (mode in ('VIEW', 'DOWNLOAD')),
    targets text[] collate "C" not null check (cardinality(targets) between 1 and 100),
    org_id text not null,
    owner_type text not null,
    owner_id text not null,
    claimed_org_id text not null,
    claimed_issuer text not null,
    display_name text not null default '',
    password_hash text,
    expire_time timestamptz,
    max_uses integer check (max_uses > 0),
    uses integer not null default 0,
    create_time timestamptz not null default now(),
    revoke_time timestamptz
);
create index share_links_by_owner on share_links
    (org_id, owner_type, owner_id, create_time desc, share_link_id desc);
create index share_links_by_target on share_links using gin (targets);
create index share_links_ended on share_links (least(expire_time, revoke_time))
    where expire_time is not null or revoke_time is not null;

-- Attempts to open a link with a password. Those that succeed are removed at once.
create table share_link_attempts (
    attempt_id uuid primary key,
    share_link_id uuid not null references share_links on delete cascade,
    network text not null,
    create_time timestamptz not null default now()
);
create index share_link_attempts_by_link on share_link_attempts (share_link_id, create_time);
create index share_link_attempts_by_time on share_link_attempts (create_time);
