-- Whether an original still has metadata that a policy removes. Nobody can read it until then.
alter table media_versions add column strip_pending boolean not null default false;

-- A media that becomes smaller counts less.
create function charge_resized_media() returns trigger language plpgsql as $$
begin
    lock table quotas in row exclusive mode;
    if exists (select from quotas) then
        perform charge(array[
            row(new.org_id, new.owner_type, new.owner_id, new.project_id, 0, new.size_bytes - old.size_bytes, 0, 0, 0)
        ]::quota_change[]);
    end if;
    return null;
end
$$;

create trigger charge_resized_media after update of size_bytes on media
for each row when (old.size_bytes <> new.size_bytes)
execute function charge_resized_media();
