-- The number the next writer's parts begin at. Object stores name parts by their number alone, so no
-- two writers may use the same one: each that takes over leaves out those its predecessor may have
-- begun and never counted.
-- On a disk there is no end to the numbers.
alter table upload_parts
    drop constraint upload_parts_number_check,
    add constraint upload_parts_number_check check (number >= 1);
alter table uploads add column next_part integer not null default 1;
update uploads u
set next_part = 1 + coalesce((select max(number) from upload_parts p where p.upload_id = u.upload_id), 0);
