-- Finds media by the SHA-256 of their originals, in the containers of a caller only. `blobs_by_sha256` has those of all
-- tenants: to read it takes longer if another tenant has the file, too.
create table media_contents (
    media_id uuid primary key references media on delete cascade,
    -- For each of `media_search.containers`, a hash of it and of the SHA-256 of the current version.
    hashes bigint[] not null
);
create index media_contents_by_hash on media_contents using gin (hashes);

create function content_hashes(containers bigint[], content bytea) returns bigint[]
language sql immutable strict parallel safe as $$
    select array(
        select hashint8extended(c, ('x' || encode(substr(content, 1, 8), 'hex'))::bit(64)::bigint)
        from unnest(containers) c
    )
$$;

-- Whoever writes what is searched writes this, too, also a worker of an earlier release.
create function record_content() returns trigger language plpgsql as $$
begin
    if new.containers <> '{}' then
        insert into media_contents as known (media_id, hashes)
        select m.media_id, content_hashes(new.containers, b.sha256)
        from media m
        join media_versions v on v.media_id = m.media_id and v.version = m.version
        join blobs b on b.blob_id = v.blob_id
        where m.media_id = new.media_id and b.sha256 is not null
        on conflict (media_id) do update set hashes = excluded.hashes where known.hashes <> excluded.hashes;
    end if;
    return new;
end
$$;
create trigger record_content before insert on media_search for each row execute function record_content();

-- As before, and when the file is another one, or its SHA-256 became known: its state changes after that.
create or replace trigger search_is_due after update on media for each row
when (
    (old.state, old.version, old.size_bytes, old.org_id, old.owner_type, old.owner_id, old.project_id, old.filename,
     old.title, old.description, old.tags, old.labels, old.metadata, old.info, old.private_info)
    is distinct from
    (new.state, new.version, new.size_bytes, new.org_id, new.owner_type, new.owner_id, new.project_id, new.filename,
     new.title, new.description, new.tags, new.labels, new.metadata, new.info, new.private_info)
)
execute function search_is_due();

-- Media with this content: in these containers, or among the `single` ones. The condition on the SHA-256 is one that no
-- index serves.
create function media_with_content(content bytea, containers text[], single uuid[])
returns table (media_id uuid, version integer)
language plpgsql stable parallel safe rows 10 set plan_cache_mode = force_custom_plan as $$
declare
    wanted bigint[] := content_hashes(array(select hashtextextended(c, 0) from unnest(containers) c), content);
begin
    return query
        select v.media_id, v.version
        from (
            select c.media_id from media_contents c where c.hashes && wanted
            union
            select unnest(single)
        ) found
        join media_versions v on v.media_id = found.media_id
        join blobs b on b.blob_id = v.blob_id
        where b.sha256 is not distinct from content;
end
$$;
