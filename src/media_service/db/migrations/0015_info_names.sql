-- What inspection found, by the names of the contract's messages, and without FFmpeg's own words.
create function pg_temp.codec_name(codec text) returns text language sql immutable as $$
    select case
        when codec = 'pcm_alaw' then 'alaw'
        when codec = 'pcm_mulaw' then 'ulaw'
        when codec like 'pcm\_%' then 'pcm'
        when codec like 'adpcm\_%' then 'adpcm'
        when codec like 'msmpeg4%' then 'msmpeg4'
        else coalesce(
            '{"dvb_subtitle": "dvb", "dvb_teletext": "teletext", "dvd_subtitle": "vobsub",
              "dvvideo": "dv", "eia_608": "cea608", "hdmv_pgs_subtitle": "pgs", "mov_text": "tx3g",
              "mpeg1video": "mpeg1", "mpeg2video": "mpeg2", "rawvideo": "raw", "wmav1": "wma",
              "wmav2": "wma"}'::jsonb ->> codec,
            codec)
    end
$$;
create function pg_temp.bit_depth(codec text) returns integer language sql immutable as $$
    select coalesce(substring(codec from '^pcm_[sfu](\d+)')::integer, 0)
$$;

update media m
set revision = revision + 1,
    info = (info - 'bit_rate_bps')
        || jsonb_build_object(
            'container', coalesce(
                '{"video/mp4": "mp4", "video/quicktime": "quicktime", "video/3gpp": "3gp",
                  "video/webm": "webm", "video/x-matroska": "matroska", "video/vnd.avi": "avi",
                  "video/mpeg": "mpegps", "video/mp2t": "mpegts", "video/x-flv": "flv",
                  "video/x-ms-wmv": "asf", "audio/mpeg": "mp3", "audio/mp4": "mp4",
                  "audio/aac": "adts", "audio/ogg": "ogg", "audio/flac": "flac",
                  "audio/wav": "wav", "audio/aiff": "aiff", "audio/amr": "amr"}'::jsonb
                    ->> content_type,
                ''),
            'bit_rate_kbps',
            least(round(coalesce((info ->> 'bit_rate_bps')::numeric, 0) / 1000), 2147483647),
            'video_codec', pg_temp.codec_name(coalesce(info ->> 'video_codec', '')),
            'audio_codec', pg_temp.codec_name(coalesce(info ->> 'audio_codec', '')),
            'audio_bit_depth', pg_temp.bit_depth(coalesce(info ->> 'audio_codec', '')),
            'audio_tracks', coalesce((
                select jsonb_agg(
                    (t.track - 'audio_codec' - 'audio_channels' - 'audio_sample_rate_hz')
                    || jsonb_build_object(
                        'codec', pg_temp.codec_name(t.track ->> 'audio_codec'),
                        'channels', t.track -> 'audio_channels',
                        'sample_rate_hz', t.track -> 'audio_sample_rate_hz',
                        'bit_depth', pg_temp.bit_depth(t.track ->> 'audio_codec'))
                    order by t.position)
                from jsonb_array_elements(info -> 'audio_tracks')
                    with ordinality as t (track, position)
            ), '[]'),
            'subtitle_tracks', coalesce((
                select jsonb_agg(
                    t.track
                    || jsonb_build_object('codec', pg_temp.codec_name(t.track ->> 'codec'))
                    order by t.position)
                from jsonb_array_elements(info -> 'subtitle_tracks')
                    with ordinality as t (track, position)
            ), '[]'))
where kind in ('VIDEO', 'AUDIO') and info is not null;

update media m
set revision = revision + 1,
    info = info || jsonb_build_object('color_space',
        case info ->> 'color_space' when 'b-w' then 'gray' else 'gray16' end)
where kind = 'IMAGE' and info ->> 'color_space' in ('b-w', 'grey16');

drop function pg_temp.codec_name(text);
drop function pg_temp.bit_depth(text);
