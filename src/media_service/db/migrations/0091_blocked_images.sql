-- Images that nobody may upload, nor others that look nearly the same. `scope`: as in `blocked_files`. `hash`: the
-- perceptual hash of the whole image. `hashes`: that, and those of its crops if they are known. `bands`: see
-- `fingerprints`; the scope stands for the tenant.
create table blocked_images (
    hash bytea not null check (length(hash) = 32),
    scope text collate "C" not null,
    hashes bit(256)[] not null,
    bands bigint[] not null,
    note text not null default '',
    create_time timestamptz not null default now(),
    primary key (hash, scope)
);
create index blocked_images_by_scope on blocked_images (scope, hash);
create index blocked_images_by_band on blocked_images using gin (bands) with (fastupdate = off);

-- Like `neighbours_of`, without missing any: for the crops of this image, too, bands that differ in one bit. It is for the
-- short lists of blocked images, and for searches that are rare.
create function all_neighbours_of(tenant bigint, hashes bit(256)[]) returns bigint[]
    language sql immutable parallel safe as $$
        select array(
            select distinct n.entry
            from unnest(hashes) as h (hash) cross join lateral unnest(neighbours_of(tenant, array[h.hash])) as n (entry)
        )
$$;

-- How far an image is from a media: from its image, or from the nearest frame of a video, each with its crops.
create function distance_to_image(hashes bit(256)[], image bit(256)[]) returns bigint
    language sql immutable parallel safe as $$
        select min(distance_between(hashes[6 * n + 1:6 * n + 6], image))
        from generate_series(0, (cardinality(hashes) - 1) / 6) as s (n)
$$;
