-- The virus scan of each version. `scan_held`: it is not served because of the scan.
alter table media_versions
    add column scan_state text not null default 'NOT_SCANNED' check (
        scan_state in ('NOT_SCANNED', 'PENDING', 'CLEAN', 'INFECTED', 'FAILED', 'TOO_LARGE')
    ),
    add column scan_held boolean not null default false,
    add column scan_reason text not null default '',
    add column scan_threat text not null default '',
    -- The engine and its signatures; empty: there is no result yet.
    add column scan_engine text not null default '',
    add column scan_time timestamptz;

-- To scan again what was scanned with other signatures. A pending one has its job.
create index media_versions_by_scan on media_versions (scan_engine, scan_time)
    where scan_state <> 'PENDING';
-- To follow changes of the policy.
create index media_versions_held on media_versions (scan_state) where scan_held;
create index media_versions_not_clean on media_versions (scan_state)
    where not scan_held and scan_state in ('PENDING', 'INFECTED', 'FAILED', 'TOO_LARGE');
