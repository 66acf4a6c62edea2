-- Media with the same bytes share a blob after a while. So a file of an archive names its bytes, not their blob.
delete from archives;
alter table archive_files drop column blob_id, add column crc32c bigint not null;
