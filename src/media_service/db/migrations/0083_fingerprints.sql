-- What near duplicates are found by: the perceptual hashes of each media, of the whole image first, then of crops. Media
-- without hashes are compared only with those of the same bytes.
--
-- A hash is cut into 16 bands of 16 bits. If two hashes differ in at most 31 bits, one of their bands differs in at most
-- one bit. An entry of `bands` has, from high to low bits, the hash of the tenant, whether it is of a crop, the number of
-- the band, and its value. So a search reads the entries of one tenant only.
create function tenant_of(org_id text, owner_type text, owner_id text) returns bigint
    language sql immutable parallel safe as $$
        select (hashtextextended(
            case when org_id <> '' then 'organization:' || org_id else owner_type || ':' || owner_id end, 0
        ) & 4398046511103) << 21
    $$;
create function bands_of(tenant bigint, hashes bit(256)[]) returns bigint[] language sql immutable parallel safe as $$
    select coalesce(array_agg(distinct
        tenant | (case when h.number > 1 then 1 else 0 end << 20) | (b.band << 16)
        | substring(h.hash from b.band * 16 + 1 for 16)::bit(16)::int
    ), '{}')
    from unnest(hashes) with ordinality as h (hash, number) cross join generate_series(0, 15) as b (band)
$$;
-- The entries of what may be near: bands of whole images and crops that differ from one of this whole image in at most
-- one bit, and bands of whole images that equal one of a crop of this image. The copies that a crop finds are nearer.
create function neighbours_of(tenant bigint, hashes bit(256)[]) returns bigint[] language sql immutable parallel safe as $$
    select array(
        select near | (crop << 20)
        from unnest(bands_of(tenant, hashes[1:1])) as w (entry)
        cross join lateral (
            select entry union all select entry # (1::bigint << bit) from generate_series(0, 15) as s (bit)
        ) n (near)
        cross join generate_series(0, 1) as c (crop)
        union
        select entry from unnest(bands_of(tenant, hashes[2:2])) as e (entry)
        union
        select entry from unnest(bands_of(tenant, hashes[3:3])) as e (entry)
        union
        select entry from unnest(bands_of(tenant, hashes[4:4])) as e (entry)
        union
        select entry from unnest(bands_of(tenant, hashes[5:5])) as e (entry)
        union
        select entry from unnest(bands_of(tenant, hashes[6:6])) as e (entry)
    )
$$;
-- How far two media are apart: the whole image of one, and that or a crop of the other. Null if one has no hashes. It is
-- one expression, so PostgreSQL puts it into the statement instead of calling it.
create function distance_between(a bit(256)[], b bit(256)[]) returns bigint language sql immutable parallel safe as $$
    select least(
        bit_count(a[1] # b[1]),
        bit_count(a[1] # b[2]), bit_count(a[1] # b[3]), bit_count(a[1] # b[4]), bit_count(a[1] # b[5]),
        bit_count(a[1] # b[6]),
        bit_count(a[2] # b[1]), bit_count(a[3] # b[1]), bit_count(a[4] # b[1]), bit_count(a[5] # b[1]),
        bit_count(a[6] # b[1])
    )
$$;

create table fingerprints (
    media_id uuid primary key references media on delete cascade,
    hashes bit(256)[] not null,
    bands bigint[] not null,
    hashed boolean not null,
    compared boolean not null default false
);
create index fingerprints_by_band on fingerprints using gin (bands) with (fastupdate = off);
create index fingerprints_to_hash on fingerprints (media_id) where not hashed;
create index fingerprints_to_compare on fingerprints (media_id) where hashed and not compared;

-- Media that were found to be duplicates. `distance`: of their hashes; null if their bytes are equal.
create table duplicates (
    media_id uuid not null references media on delete cascade,
    other_id uuid not null references media on delete cascade,
    distance smallint,
    primary key (media_id, other_id),
    check (media_id < other_id)
);
create index duplicates_by_other on duplicates (other_id);

-- What people decided about two media: DIFFERENT of both, KEEP of `media_id`, which is better than `other_id`.
create table duplicate_decisions (
    media_id uuid not null references media on delete cascade,
    other_id uuid not null references media on delete cascade,
    decision text not null,
    create_time timestamptz not null default now(),
    primary key (media_id, other_id)
);
create index duplicate_decisions_by_other on duplicate_decisions (other_id);

-- The media that exist are hashed by a task of workers.
insert into fingerprints (media_id, hashes, bands, hashed)
select media_id, '{}', '{}', kind not in ('IMAGE', 'VIDEO') from media where state = 'READY';

-- A media that gets another owner without an organization changes its tenant.
create function move_fingerprint() returns trigger language plpgsql as $$
begin
    update fingerprints
    set bands = bands_of(tenant_of(new.org_id, new.owner_type, new.owner_id), hashes), compared = false
    where media_id = new.media_id;
    delete from duplicates where new.media_id in (media_id, other_id);
    return null;
end $$;
create trigger move_fingerprint after update of org_id, owner_type, owner_id on media
    for each row when (tenant_of(old.org_id, old.owner_type, old.owner_id)
                       <> tenant_of(new.org_id, new.owner_type, new.owner_id))
    execute function move_fingerprint();
