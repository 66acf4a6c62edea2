-- When inspection says that the file was captured, of the current version and of each other one. A time of capture that
-- differs from it was set by a caller, and stays when the file is replaced.
alter table media add column found_capture_time timestamptz;
alter table media_versions add column found_capture_time timestamptz;
