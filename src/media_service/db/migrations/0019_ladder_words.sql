-- Stored ladders have the names of the code: audio tracks, and bit rates with their unit. The oldest have no opening
-- segment.
update streams
set ladder = jsonb_build_object('opening_frames', 0, 'audio_tracks', ladder -> 'sounds')
    || (ladder - 'sounds')
    || jsonb_build_object('rungs', (
        select coalesce(
            jsonb_agg(
                (rung - 'kbps') || jsonb_build_object('bit_rate_kbps', rung -> 'kbps')
                order by number
            ),
            '[]'
        )
        from jsonb_array_elements(ladder -> 'rungs') with ordinality as rungs (rung, number)
    ));
