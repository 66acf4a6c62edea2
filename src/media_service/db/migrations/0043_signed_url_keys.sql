-- The keys that signed URLs name. A URL works as long as both keys are those with which it was signed.
alter table media add column url_key integer not null default 0;

-- The keys of callers who have revoked the URLs that they signed. For all others, it is 0.
create table signed_url_keys (
    principal text collate "C" primary key,
    url_key integer not null
);
