-- In a transaction of its own, because the table `media_contents` was created under a lock of `media`.
insert into media_contents (media_id, hashes)
select s.media_id, content_hashes(s.containers, b.sha256)
from media_search s
join media m on m.media_id = s.media_id
join media_versions v on v.media_id = m.media_id and v.version = m.version
join blobs b on b.blob_id = v.blob_id
where s.containers <> '{}' and b.sha256 is not null
on conflict do nothing;
