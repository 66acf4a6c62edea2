-- Stored pipelines in the frozen text form: escapes are ~2C instead of %2C, and limits and bit rates have new names.
-- The comma between operations and the colon between parameters are never part of a value.
create function pg_temp.renamed(pipeline text, operation text, old text, new text) returns text
language sql immutable as $$
    select regexp_replace(
        pipeline, '(^|,)(' || operation || ':(?:[^,:]*:)*)' || old || '=', '\1\2' || new || '=', 'g'
    )
$$;
create function pg_temp.frozen(pipeline text) returns text language plpgsql immutable as $$
begin
    pipeline := replace(pipeline, '~', '~7E');
    pipeline := regexp_replace(pipeline, '%(?!25)([0-9A-F]{2})', '~\1', 'g');
    pipeline := replace(pipeline, '%25', '%');
    pipeline := pg_temp.renamed(pipeline, 'compress', 'max_bytes', 'max_size_bytes');
    pipeline := pg_temp.renamed(pipeline, 'transcode', 'height', 'max_height');
    pipeline := pg_temp.renamed(pipeline, 'transcode', 'video_kbps', 'video_bit_rate_kbps');
    pipeline := pg_temp.renamed(pipeline, 'transcode', 'audio_kbps', 'audio_bit_rate_kbps');
    pipeline := pg_temp.renamed(pipeline, 'frames', 'width', 'max_width');
    pipeline := pg_temp.renamed(pipeline, 'storyboard', 'width', 'max_width');
    pipeline := pg_temp.renamed(pipeline, 'preview', 'seconds', 'duration_seconds');
    pipeline := pg_temp.renamed(pipeline, 'preview', 'width', 'max_width');
    pipeline := pg_temp.renamed(pipeline, 'audio', 'kbps', 'bit_rate_kbps');
    pipeline := pg_temp.renamed(pipeline, 'normalize', 'lufs', 'loudness_lufs');
    pipeline := pg_temp.renamed(pipeline, 'normalize', 'peak', 'max_peak_dbtp');
    return pg_temp.renamed(pipeline, 'waveform', 'form', 'format');
end
$$;

update jobs set pipeline = pg_temp.frozen(pipeline)
where pipeline <> '' and pipeline <> pg_temp.frozen(pipeline);
update renditions set pipeline = pg_temp.frozen(pipeline)
where pipeline <> '' and pipeline <> pg_temp.frozen(pipeline);

drop function pg_temp.frozen;
drop function pg_temp.renamed;
