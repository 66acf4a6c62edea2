-- Links by which guests upload into a project: to how many files, of which size, they are limited.
--   files: uploads that have not failed or been given up
alter table share_links
    drop constraint share_links_mode_check,
    add constraint share_links_mode_check check (mode in ('VIEW', 'DOWNLOAD', 'UPLOAD')),
    add column max_files integer check (max_files > 0),
    add column max_file_size_bytes bigint check (max_file_size_bytes > 0),
    add column files integer not null default 0;

-- The link by which a guest created an upload.
alter table uploads add column share_link_id uuid;
create index uploads_by_share_link on uploads (share_link_id) where share_link_id is not null and state = 'ACTIVE';

-- The error MS001 refuses an upload beyond the limit.
create function count_guest_upload() returns trigger language plpgsql as $$
declare
    most integer;
begin
    update share_links l set files = l.files + 1
    where l.share_link_id = new.share_link_id and (l.max_files is null or l.files < l.max_files);
    if not found then
        select l.max_files into most from share_links l where l.share_link_id = new.share_link_id;
        raise exception 'share link full' using errcode = 'MS001', detail = json_build_object(
            'max_files', coalesce(most, 0)
        );
    end if;
    return null;
end
$$;

create trigger count_guest_upload after insert on uploads
for each row when (new.share_link_id is not null) execute function count_guest_upload();

create function forget_guest_upload() returns trigger language plpgsql as $$
begin
    update share_links l set files = l.files - 1 where l.share_link_id = new.share_link_id;
    return null;
end
$$;

create trigger forget_guest_upload after update of state on uploads
for each row when (
    new.share_link_id is not null and old.state in ('ACTIVE', 'VERIFYING')
    and new.state in ('FAILED', 'ABORTED', 'EXPIRED')
)
execute function forget_guest_upload();
