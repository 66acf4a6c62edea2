-- Whether a policy or a blocklist refused the original. Its content is not served until an inspection accepts it.
alter table media add column refused boolean not null default false;

-- Refused media are deleted and kept for at most a day. Those that were undeleted are known by reasons that nothing
-- else has.
update media set refused = true
where state = 'FAILED' and (
    error_reason in ('FILE_BLOCKED', 'DURATION_LIMIT_EXCEEDED', 'METADATA_NOT_REMOVABLE')
    or error_reason in ('TYPE_NOT_ALLOWED', 'PIXEL_LIMIT_EXCEEDED')
       and purge_time <= delete_time + interval '1 day'
);
