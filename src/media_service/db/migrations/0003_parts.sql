-- Parts that callers name by their numbers, in any order.
--
-- A number is claimed with the size and checksum of its bytes before they are stored, and `stored`
-- once they are durable: whoever claims it first decides what it is, and any other claim of the
-- same bytes is the same part. Where a part lies follows from the parts before it.
alter table upload_parts
    drop column part_offset,
    add column stored boolean not null default true,
    -- Claimed by a signed URL: its bytes may come past this service, and are looked for.
    add column signed boolean not null default false;
-- The epoch in which callers began to put parts; null while streams write.
alter table uploads add column parts_since integer;
-- Whether no writer may still send a part that was not counted. If one may, its numbers are left out
-- where a store knows parts by them alone.
alter table uploads add column settled boolean not null default true;
update uploads set settled = epoch = 0;
-- From now on `next_part` is the number of the part that begins at `committed_size`.
update uploads u
set next_part = greatest(
    next_part, (select max(number) + 1 from upload_parts p where p.upload_id = u.upload_id)
);
