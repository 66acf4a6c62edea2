-- What is searched, one row for each media, apart from `media`: uploads and changes do not pay for the index. Whatever
-- changes a media so that it is found differently adds it to `media_search_due`, and workers write its row
-- (search/queries.py).
create table media_search (
    media_id uuid primary key references media on delete cascade,
    -- Hashes of the names of the containers that it was in, as in grants, and of "service:". They only narrow the search;
    -- who may see a media is decided by its row in `media`.
    containers bigint[] not null default '{}',
    document tsvector not null default '',
    -- Its names and tags as one text, for substrings and typos.
    names text not null default '',
    -- The beginning of the text of a document.
    content text not null default ''
);
-- A search first reads what waits in the index, so that is kept short.
create index media_search_words on media_search using gin (containers, document, names gin_trgm_ops)
    with (gin_pending_list_limit = 512);

create table media_search_due (
    number bigint generated always as identity primary key,
    media_id uuid not null
);

-- Without accents and in lower case; and without punctuation, which the parser of PostgreSQL would take for the parts of
-- addresses and numbers.
create function search_folded(value text) returns text language sql immutable parallel safe as $$
    select lower(unaccent(value))
$$;
create function search_words(value text) returns text language sql immutable parallel safe as $$
    select regexp_replace(search_folded(value), '[[:punct:][:space:]]+', ' ', 'g')
$$;

create function search_is_due() returns trigger language plpgsql as $$
begin
    insert into media_search_due (media_id) values (new.media_id);
    return null;
end
$$;
-- A new media is due when a worker begins with it: the transaction of the upload adds nothing.
create trigger search_is_due after update on media for each row
when (
    old.state = 'PENDING' and new.state <> 'PENDING'
    or (old.org_id, old.owner_type, old.owner_id, old.project_id, old.filename, old.title, old.description, old.tags,
        old.labels, old.metadata, old.info, old.private_info)
    is distinct from
       (new.org_id, new.owner_type, new.owner_id, new.project_id, new.filename, new.title, new.description, new.tags,
        new.labels, new.metadata, new.info, new.private_info)
)
execute function search_is_due();

insert into media_search_due (media_id) select media_id from media where state <> 'PENDING';
