"""Migrations bring any database to the same schema, once."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, cast

import psycopg
import pytest
from psycopg.rows import dict_row

from media_service.audit.digests import verify
from media_service.audit.partitions import remove_old
from media_service.audit.queries import reading
from media_service.codecs.inspect import names
from media_service.codecs.inspection import (
    AudioInfo,
    AudioTrack,
    Chapter,
    DocumentInfo,
    ImageInfo,
    SubtitleTrack,
    VideoInfo,
    info_from_json,
)
from media_service.codecs.pipeline.text_form import canonical_text
from media_service.codecs.pipeline.validation import parse
from media_service.codecs.video.ladder import Ladder, Track
from media_service.db.audit_entry import AuditEntry, Category, Origin
from media_service.db.database import Database
from media_service.db.migrate import migrate, migrations
from tests.support.batches import changed_by
from tests.support.databases import with_database


async def test_a_migrated_database_has_nothing_left_to_apply(database_url: str) -> None:
    assert await migrate(database_url) == []


async def test_an_edited_migration_is_refused(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("update schema_migrations set digest = 'other'")
    with pytest.raises(RuntimeError, match="edited after it ran"):
        await migrate(database_url)


async def test_a_database_newer_than_the_code_is_refused(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("insert into schema_migrations values ('9999_later', 'x')")
    with pytest.raises(RuntimeError, match="9999_later"):
        await migrate(database_url)


async def test_missing_extensions_are_named_with_where_to_get_them(empty_database: str) -> None:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("alter database empty set extension_control_path = '/nowhere'")
    with pytest.raises(RuntimeError) as error:
        await migrate(empty_database)
    assert "btree_gin, pg_trgm, unaccent" in str(error.value)
    assert "the package postgresql-18 of Debian" in str(error.value)


async def test_a_user_who_may_not_create_extensions_learns_who_can(empty_database: str) -> None:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("create extension pg_trgm")
        connection.execute("create role humble login")
        connection.execute("grant create on schema public to humble")
    url = empty_database.replace("postgres@", "humble@")
    with pytest.raises(RuntimeError, match="may not create") as error:
        await migrate(url)
    assert "create extension if not exists unaccent;" in str(error.value)
    assert "pg_trgm" not in str(error.value)


async def test_every_table_of_the_first_migration_exists(database: Database) -> None:
    async with database.connection() as db:
        rows = await db.execute("select tablename from pg_tables where schemaname = 'public'")
        names = {row["tablename"] async for row in rows}
    assert names >= {"blobs", "media", "media_versions", "uploads", "upload_parts", "jobs"}


@pytest.fixture
def empty_database(postgres: str) -> Iterator[str]:
    """URL of a database without a schema."""
    name = "empty"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"create database {name}".encode())
    yield with_database(postgres, name)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)".encode())


async def migrate_with_rows(
    url: str, before: str, rows: str
) -> psycopg.Connection[dict[str, object]]:
    """Inserts rows just before migration `before`, then migrates to the newest schema."""
    connection = psycopg.connect(url, autocommit=True, row_factory=dict_row)
    connection.execute(
        "create table schema_migrations (name text primary key,"
        " digest text not null, apply_time timestamptz not null default now())"
    )
    for migration in migrations():
        if migration.name >= before:
            break
        connection.execute(migration.sql.encode())
        connection.execute(
            "insert into schema_migrations values (%s, %s)", (migration.name, migration.digest)
        )
    connection.execute(rows.encode())
    await migrate(url)
    return connection


async def test_existing_media_get_the_new_fields(empty_database: str) -> None:
    rows = """
        insert into media (media_id, owner_type, owner_id, state, kind, content_type, size_bytes,
                           filename, info)
        values
            ('00000000-0000-7000-8000-000000000001', 'user', 'a', 'READY', 'IMAGE', 'image/png', 1,
             'a.jpg', '{"width": 8, "height": 6, "blurhash": "L00", "dominant_color": "#a0522d"}'),
            ('00000000-0000-7000-8000-000000000002', 'user', 'a', 'READY', 'AUDIO', 'audio/wav', 1,
             '', '{"duration_seconds": 1.5}'),
            ('00000000-0000-7000-8000-000000000003', 'user', 'a', 'PENDING', 'IMAGE', 'image/x', 1,
             '', null);
        insert into jobs (job_id, kind, subject_id, state, end_time)
        values (gen_random_uuid(), 'INGEST', '00000000-0000-7000-8000-000000000001', 'SUCCEEDED',
                '2026-01-02T03:04:05Z');
    """
    with await migrate_with_rows(empty_database, "0008", rows) as connection:
        image, audio, pending = connection.execute("select * from media order by media_id")
    assert image["info"] == {"width": 8, "height": 6}
    assert (image["blurhash"], image["dominant_color"]) == ("L00", "a0522d")
    assert (image["width"], image["height"], image["duration_seconds"]) == (8, 6, None)
    assert image["original_filename"] == "a.jpg"
    assert str(image["ready_time"]).startswith("2026-01-02 03:04:05")
    assert (audio["width"], audio["duration_seconds"]) == (None, 1.5)
    assert (pending["info"], pending["ready_time"], pending["labels"]) == (None, None, {})


async def test_the_media_id_of_an_existing_upload_is_its_upload_id(empty_database: str) -> None:
    rows = """
        insert into uploads (upload_id, owner_type, owner_id, state, blob_id, expire_time,
                             request_id)
        values ('00000000-0000-7000-8000-000000000001', 'user', 'a', 'FINISHED', gen_random_uuid(),
                now(), gen_random_uuid()),
               ('00000000-0000-7000-8000-000000000002', 'user', 'a', 'ACTIVE', gen_random_uuid(),
                now(), null);
    """
    with await migrate_with_rows(empty_database, "0012", rows) as connection:
        uploads = connection.execute("select * from uploads order by upload_id").fetchall()
    assert len(uploads) == 2
    assert all(upload["media_id"] == upload["upload_id"] for upload in uploads)


# Canonical texts before and after the migration.
PIPELINES = {
    "": "",
    "resize:width=800,filter:name=MOON": "resize:width=800,filter:name=MOON",
    "resize:width=8,compress:max_bytes=1000": "resize:width=8,compress:max_size_bytes=1000",
    "transcode:codec=VP9:height=720:video_kbps=900:audio_kbps=64": (
        "transcode:codec=VP9:max_height=720:video_bit_rate_kbps=900:audio_bit_rate_kbps=64"
    ),
    "frames:interval_seconds=1.0:width=64": "frames:interval_seconds=1.0:max_width=64",
    "speed,speed,storyboard:width=64": "speed,speed,storyboard:max_width=64",
    "preview:seconds=3.0:width=64": "preview:duration_seconds=3.0:max_width=64",
    "normalize:lufs=-14.0:peak=-2.0,normalize:peak=-3.0,audio:codec=AAC:kbps=64": (
        "normalize:loudness_lufs=-14.0:max_peak_dbtp=-2.0,normalize:max_peak_dbtp=-3.0"
        ",audio:codec=AAC:bit_rate_kbps=64"
    ),
    "waveform:form=PNG:width=300": "waveform:format=PNG:width=300",
    "text:text=a%2C%20b%3A%0A100%25%3D%252C~": "text:text=a~2C~20b~3A~0A100%~3D%2C~7E",
}


async def test_stored_pipelines_are_valid_and_canonical(empty_database: str) -> None:
    rows = """
        insert into blobs (blob_id, store, key, size_bytes, crc32c)
        values ('00000000-0000-7000-8000-000000000001', 'raw', 'a', 1, 0);
        insert into media (media_id, owner_type, owner_id, state, kind, content_type, size_bytes)
        values ('00000000-0000-7000-8000-000000000001', 'user', 'a', 'READY', 'IMAGE', '', 1);
        create table old as select * from unnest(array[OLD]) with ordinality as o(text, number);
        insert into jobs (job_id, kind, subject_id, state, pipeline, rendition)
        select gen_random_uuid(), 'PROCESS', gen_random_uuid(), 'SUCCEEDED', text, number from old;
        insert into renditions (media_id, name, blob_id, content_type, pipeline)
        select '00000000-0000-7000-8000-000000000001', number,
               '00000000-0000-7000-8000-000000000001', '', text from old;
        drop table old;
    """.replace("OLD", ", ".join(f"'{old}'" for old in PIPELINES))
    with await migrate_with_rows(empty_database, "0014", rows) as connection:
        jobs = connection.execute("select * from jobs order by rendition::int").fetchall()
        renditions = connection.execute("select * from renditions order by name::int").fetchall()
    new = list(PIPELINES.values())
    assert [job["pipeline"] for job in jobs] == new
    assert [rendition["pipeline"] for rendition in renditions] == new
    assert [canonical_text(parse(text)) for text in new] == new


async def test_stored_metadata_gets_the_field_names_of_the_contract(empty_database: str) -> None:
    rows = """
        insert into media (media_id, owner_type, owner_id, state, kind, content_type, size_bytes,
                           info)
        values
            ('00000000-0000-7000-8000-000000000001', 'user', 'a', 'READY', 'VIDEO', 'video/webm', 1,
             '{"duration_seconds": 1.5, "bit_rate_bps": 1234567, "container": "matroska,webm",
               "width": 8, "height": 6, "rotation_degrees": 90, "frame_rate": 25.0,
               "video_codec": "mpeg2video", "dynamic_range": "SDR", "variable_frame_rate": false,
               "audio_codec": "aac", "audio_channels": 2, "audio_sample_rate_hz": 48000,
               "audio_tracks": [{"audio_codec": "aac", "audio_channels": 2, "title": "",
                                 "audio_sample_rate_hz": 48000, "language": "deu"},
                                {"audio_codec": "", "audio_channels": 0, "title": "Director",
                                 "audio_sample_rate_hz": 0, "language": ""}],
               "subtitle_tracks": [{"codec": "mov_text", "text": true, "language": "fra",
                                    "title": ""}],
               "chapters": [{"start_seconds": 0, "end_seconds": 1.5, "title": "One"}]}'),
            ('00000000-0000-7000-8000-000000000002', 'user', 'a', 'READY', 'AUDIO', 'audio/wav', 1,
             '{"duration_seconds": 1.5, "bit_rate_bps": 99999999999999, "container": "wav",
               "audio_codec": "pcm_s24le", "audio_channels": 1, "audio_sample_rate_hz": 8000,
               "tags": {"title": "A tale"}, "chapters": []}'),
            ('00000000-0000-7000-8000-000000000003', 'user', 'a', 'READY', 'IMAGE', 'image/png', 1,
             '{"width": 8, "height": 6, "orientation": 1, "page_count": 1, "has_alpha": false,
               "color_space": "b-w", "has_icc_profile": false}'),
            ('00000000-0000-7000-8000-000000000004', 'user', 'a', 'READY', 'DOCUMENT',
             'application/pdf', 1, '{}'),
            ('00000000-0000-7000-8000-000000000005', 'user', 'a', 'PENDING', 'VIDEO', 'video/mp4',
             1, null);
    """
    with await migrate_with_rows(empty_database, "0015", rows) as connection:
        media = connection.execute("select * from media order by media_id").fetchall()
    video, audio, image, document = (
        info_from_json(row["info"], str(row["kind"])) for row in media[:4]
    )
    assert video == VideoInfo(
        duration_seconds=1.5,
        bit_rate_kbps=1235,
        container="webm",
        width=8,
        height=6,
        rotation_degrees=90,
        frame_rate=25.0,
        video_codec="mpeg2",
        dynamic_range="SDR",
        audio_codec="aac",
        audio_channels=2,
        audio_sample_rate_hz=48000,
        audio_tracks=(
            AudioTrack(codec="aac", channels=2, sample_rate_hz=48000, language="deu"),
            AudioTrack(title="Director"),
        ),
        subtitle_tracks=(SubtitleTrack(codec="tx3g", language="fra", text=True),),
        chapters=(Chapter(start_seconds=0.0, end_seconds=1.5, title="One"),),
    )
    assert audio == AudioInfo(
        duration_seconds=1.5,
        bit_rate_kbps=2**31 - 1,
        container="wav",
        audio_codec="pcm",
        audio_bit_depth=24,
        audio_channels=1,
        audio_sample_rate_hz=8000,
        tags={"title": "A tale"},
    )
    assert image == ImageInfo(width=8, height=6, orientation=1, page_count=1, color_space="gray")
    assert document == DocumentInfo()
    assert media[4]["info"] is None


@pytest.mark.parametrize("name", ["h264", "pcm_u8", "pcm_alaw", "pcm_mulaw", *names.CODECS])
def test_old_and_new_rows_have_the_same_codec_names(postgres: str, name: str) -> None:
    (migration,) = (each for each in migrations() if each.name.startswith("0015"))
    function = migration.sql[migration.sql.index("create") : migration.sql.index("$$;") + 3]
    with psycopg.connect(postgres) as connection:
        connection.execute(function.encode())
        row = connection.execute("select pg_temp.codec_name(%s)", (name,)).fetchone()
    assert row == (names.codec(name),)


async def test_stored_ladders_remain_readable(empty_database: str) -> None:
    ladder = {
        "rate": [25, 1],
        "seconds": 4.0,
        "segment_frames": 50,
        "opening_frames": 16,
        "chunk_segments": 2,
        "chunks": 1,
        "rungs": [
            {"name": "720p", "width": 1280, "height": 720, "kbps": 2800},
            {"name": "480p", "width": 854, "height": 480, "kbps": 1400},
        ],
        "audio_tracks": [{"name": "a1", "index": 0, "language": "en", "title": ""}],
        "subtitles": [],
    }
    oldest = {name: ladder[name] for name in ladder.keys() - {"opening_frames", "audio_tracks"}}
    oldest |= {"sounds": ladder["audio_tracks"], "rungs": []}
    rows = """
        insert into media (media_id, owner_type, owner_id, state, kind, content_type, size_bytes)
        values ('00000000-0000-7000-8000-000000000001', 'user', 'a', 'READY', 'VIDEO', '', 1);
        insert into streams (stream_id, media_id, job_id, ladder)
        values ('00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000001',
                gen_random_uuid(), 'LADDER'),
               ('00000000-0000-7000-8000-000000000002', '00000000-0000-7000-8000-000000000001',
                gen_random_uuid(), 'OLDEST');
    """
    rows = rows.replace("LADDER", json.dumps(ladder)).replace("OLDEST", json.dumps(oldest))
    with await migrate_with_rows(empty_database, "0019", rows) as connection:
        stored = connection.execute("select ladder from streams order by stream_id").fetchall()
    first, second = (Ladder.from_json(cast(dict[str, Any], row["ladder"])) for row in stored)
    assert [rung.bit_rate_kbps for rung in first.rungs] == [2800, 1400]
    assert (first.opening_frames, second.opening_frames) == (16, 0)
    assert first.audio_tracks == second.audio_tracks == (Track("a1", 0, "en", ""),)


async def test_jobs_are_in_no_project_of_somebody_else(empty_database: str) -> None:
    rows = """
        insert into projects (project_id, owner_type, owner_id) values ('wedding', 'user', 'ann');
        insert into media (media_id, owner_type, owner_id, state, kind, content_type, size_bytes,
                           filename, project_id)
        values ('00000000-0000-7000-8000-000000000001', 'user', 'bob', 'READY', 'IMAGE',
                'image/png', 1, 'a.png', 'wedding');
        insert into jobs (job_id, kind, subject_id, state, org_id, owner_type, owner_id, project_id)
        select gen_random_uuid(), 'PROCESS', subject::uuid, 'QUEUED', '', 'user', owner, 'wedding'
        from (values
            ('ann', '00000000-0000-7000-8000-000000000002'),
            ('bob', '00000000-0000-7000-8000-000000000001'),
            ('eve', '00000000-0000-7000-8000-000000000003')
        ) as j (owner, subject);
    """
    with await migrate_with_rows(empty_database, "0034", rows) as connection:
        jobs = connection.execute("select owner_id, project_id from jobs order by owner_id")
        found = [(job["owner_id"], job["project_id"]) for job in jobs]
    assert found == [("ann", "wedding"), ("bob", "wedding"), ("eve", "")]


async def test_older_names_in_the_audit_log_cannot_be_changed(empty_database: str) -> None:
    rows = """
        insert into audit_people (person_id, type, id) values
            ('11111111-1111-4111-8111-111111111111', 'user', 'ann');
        insert into audit_entries (
            time, entry_id, category, action, actor_type, person_id, org_id, project_id, version,
            resource_id, outcome, counted, requests, bytes, credential_id, request_id, origin_hash
        ) values (now(), gen_random_uuid(), 'CHANGE', 'media.delete', 'user',
                  '11111111-1111-4111-8111-111111111111', '', '', 1, '', 'OK', false, 1, 0, '', '',
                  sha256(''))
    """
    (await migrate_with_rows(empty_database, "0035", rows)).close()
    year = timedelta(days=365)
    async with Database(empty_database, 2) as database:
        assert not (await verify(database, year, None)).broken
        async with database.transaction() as tx:
            entry = AuditEntry(
                category=Category.CHANGE, action="later", origin=Origin("user", "ann")
            )
            await tx.write_entries([entry])
            assert await tx.person_id("user", "ann") != "11111111-1111-4111-8111-111111111111"
        async with database.connection() as db:
            found = await reading.page(
                db, [reading.of_caller("user", "ann")], reading.OLDEST, limit=10
            )
            assert [each.action for each in found] == ["media.delete", "later"]
            await db.execute("update audit_people set id = 'innocent' where former")
        assert "was changed" in (await verify(database, year, None)).broken
        assert await changed_by(remove_old(database, timedelta(0), year)) == 1
        assert not (await verify(database, year, None)).broken


async def test_a_quota_of_an_earlier_version_gets_the_new_measures(empty_database: str) -> None:
    rows = """
        insert into projects (project_id, owner_type, owner_id) values ('wedding', 'user', 'ann');
        insert into quotas (account, measure) values
            ('owner:/user:ann', 'BYTES'), ('owner:/user:bob', 'BYTES'),
            ('project:wedding', 'BYTES');
        insert into media (media_id, owner_type, owner_id, state, kind, content_type, size_bytes,
                           project_id)
        select id::uuid, 'user', 'ann', 'READY', 'VIDEO', '', 1, project from (values
            ('00000000-0000-7000-8000-000000000001', ''),
            ('00000000-0000-7000-8000-000000000002', 'wedding')
        ) m (id, project);
        insert into blobs (blob_id, store, key, size_bytes, crc32c)
        select media_id, 'raw', media_id, 7, 0 from media;
        insert into renditions (media_id, name, blob_id, content_type)
        select media_id, 'small', media_id, '' from media;
        insert into streams (stream_id, media_id, job_id, ladder)
        select media_id, media_id, media_id, '{}' from media where project_id <> '';
        insert into stream_segments (stream_id, track, number, blob_id, duration, first_bytes)
        select stream_id, 'a1', 1, stream_id, 1, 1 from streams;
        insert into renders (media_id, key, blob_id, content_type)
        select media_id, sha256(''), media_id, '' from media where project_id = '';
    """
    with await migrate_with_rows(empty_database, "0061", rows) as connection:
        found = connection.execute(
            "select account, measure, used from quotas where measure like '%TION_BYTES'"
            " or measure = 'CACHE_BYTES'"
        )
        used = {(row["account"], row["measure"]): row["used"] for row in found}
    assert used == {
        ("owner:/user:ann", "RENDITION_BYTES"): 21,
        ("owner:/user:ann", "CACHE_BYTES"): 7,
        ("owner:/user:bob", "RENDITION_BYTES"): 0,
        ("owner:/user:bob", "CACHE_BYTES"): 0,
        ("project:wedding", "RENDITION_BYTES"): 14,
        ("project:wedding", "CACHE_BYTES"): 0,
    }
