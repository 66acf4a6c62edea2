-- The key of an erased caller stays under a hash of their name while URLs that they had revoked could work again.
alter table signed_url_keys add column expire_time timestamptz;
create index signed_url_keys_by_expiry on signed_url_keys (expire_time) where expire_time is not null;
