-- An export and an erasure look for the uploads that a person is completing.
create index uploads_with_completer on uploads (create_time, upload_id) where completer is not null;
