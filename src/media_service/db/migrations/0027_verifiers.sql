-- The presence of the server that verifies an upload: the key of an advisory lock that it holds while it is connected.
alter table uploads add column verifier bigint;
