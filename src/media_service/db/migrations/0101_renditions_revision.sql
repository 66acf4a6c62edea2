-- Changes whenever the renditions of a media do, also those that no etag shows, such as their move to another store. A
-- cache names it, so that it never takes old renditions for new ones.
alter table media add column renditions_revision bigint not null default 0;

create function renditions_changed() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        update media m set renditions_revision = renditions_revision + 1
        where m.media_id in (select media_id from new_rows);
    elsif tg_op = 'DELETE' then
        update media m set renditions_revision = renditions_revision + 1
        where m.media_id in (select media_id from old_rows);
    else
        update media m set renditions_revision = renditions_revision + 1
        where m.media_id in (select media_id from new_rows union select media_id from old_rows);
    end if;
    return null;
end
$$;

create trigger renditions_added after insert on renditions
referencing new table as new_rows for each statement execute function renditions_changed();

create trigger renditions_replaced after update on renditions
referencing old table as old_rows new table as new_rows for each statement execute function renditions_changed();

create trigger renditions_removed after delete on renditions
referencing old table as old_rows for each statement execute function renditions_changed();
