-- Originals with the same bytes share a blob. The SHA-256 of most is set by their first job, not by the upload.
create index blobs_by_sha256 on blobs (sha256) where store = 'raw' and sha256 is not null;
