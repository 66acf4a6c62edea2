-- Documents that were stored before their text was read, or that of their type.
create table texts_due (
    media_id uuid primary key references media on delete cascade
);
insert into texts_due (media_id)
select m.media_id from media m left join media_search s on s.media_id = m.media_id
where m.kind = 'DOCUMENT' and m.state = 'READY' and coalesce(s.content, '') = '';
