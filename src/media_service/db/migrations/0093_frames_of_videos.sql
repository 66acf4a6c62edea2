-- A video has the hashes of frames at six moments, six for each: of the whole frame, and of its crops. They are null at
-- moments without a frame that can be compared. A video that was hashed before has those of its poster alone, and is
-- compared only with others of that kind.
--
-- Copies of a video show the same at the same moment, so the entries of each moment stand for themselves, as if it were a
-- tenant of its own. Copies are near at most moments, so it is enough to look for equal bands.
create function tenant_at(tenant bigint, moment int) returns bigint language sql immutable parallel safe as $$
    select (hashint8extended(tenant, moment) & 4398046511103) << 21
$$;
create or replace function bands_of(tenant bigint, hashes bit(256)[]) returns bigint[]
    language sql immutable parallel safe as $$
        select coalesce(array_agg(distinct
            case when cardinality(hashes) > 6 then tenant_at(tenant, (h.number::int - 1) / 6) else tenant end
            | (case when (h.number - 1) % 6 > 0 then 1 else 0 end << 20) | (b.band << 16)
            | substring(h.hash from b.band * 16 + 1 for 16)::bit(16)::int
        ), '{}')
        from unnest(hashes) with ordinality as h (hash, number) cross join generate_series(0, 15) as b (band)
        where h.hash is not null
    $$;
-- Of a video: bands of whole frames and crops that equal one of this whole frame at the same moment, and bands of whole
-- frames that equal one of a crop.
create function video_neighbours_of(tenant bigint, hashes bit(256)[]) returns bigint[]
    language sql immutable parallel safe as $$
        select array(
            select entry from unnest(bands_of(tenant, hashes)) as e (entry)
            union
            select entry # (1::bigint << 20) from unnest(bands_of(tenant, hashes)) as e (entry)
        )
    $$;
-- How far two videos are apart: the distance within which they are at more than half of the moments. Null if they have
-- fewer than two moments in common.
create function distance_between_videos(a bit(256)[], b bit(256)[]) returns bigint
    language sql immutable parallel safe as $$
        select case
            when cardinality(a) <= 6 and cardinality(b) <= 6 then distance_between(a, b)
            when cardinality(a) = cardinality(b) then (
                select case when count(d.distance) > 1
                       then percentile_disc(0.6) within group (order by d.distance) end
                from generate_series(0, cardinality(a) / 6 - 1) as s (n) cross join lateral (
                    select distance_between(a[6 * n + 1:6 * n + 6], b[6 * n + 1:6 * n + 6])
                ) d (distance)
            )
        end
    $$;
-- Like `all_neighbours_of`, for the frames of videos that show an image.
create function frame_neighbours_of(tenant bigint, hashes bit(256)[]) returns bigint[]
    language sql immutable parallel safe as $$
        select array(
            select n.entry
            from generate_series(0, 5) as s (moment)
            cross join lateral unnest(all_neighbours_of(tenant_at(tenant, moment), hashes)) as n (entry)
        )
    $$;
