-- As before, with one look into the index for each hash, and for each media found. Asked for all hashes at once, the
-- planner expects so many media that it reads whole tables.
create or replace function media_with_content(content bytea, containers text[], single uuid[])
returns table (media_id uuid, version integer)
language plpgsql stable parallel safe rows 10 set enable_seqscan = off as $$
declare
    wanted bigint[] := content_hashes(array(select hashtextextended(c, 0) from unnest(containers) c), content);
    found uuid[] := array(
        select k.media_id from unnest(wanted) as w (hash)
        cross join lateral (select c.media_id from media_contents c where c.hashes @> array[w.hash]) k
        union
        select unnest(single)
    );
begin
    return query
        select v.media_id, v.version
        from unnest(found) as f (id)
        join media_versions v on v.media_id = f.id
        join blobs b on b.blob_id = v.blob_id
        where b.sha256 is not distinct from content;
end
$$;
