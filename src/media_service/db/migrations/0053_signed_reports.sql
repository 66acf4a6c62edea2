-- The signature of a report and the public key that verifies it, from the first time that a server returned it.
alter table erasures
    add column signature bytea not null default '',
    add column public_key bytea not null default '';
