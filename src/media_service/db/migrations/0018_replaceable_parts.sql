-- A part that came by a URL that was not bound to its bytes: it can be replaced until the upload completes.
alter table upload_parts add column replaceable boolean not null default false;
