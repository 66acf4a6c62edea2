-- Sessions of a share link hold the number of its password: a new password ends them.
alter table share_links add column session_key int not null default 0;
