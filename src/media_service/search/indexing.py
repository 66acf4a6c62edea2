"""SQL that writes what is searched: the table `media_search`.

Weights of words: A for names and titles, B for tags and labels, C for descriptions and metadata,
D for what only the file tells, which sessions of share links may not search.
"""

from media_service.db.transaction import Connection

# The first eight bytes of "media search" as a number: one process at a time writes rows. Two could
# replace a newer row by an older one.
LOCK = 0x6D73656172636800
# So many media are locked at the same time against changes, for some 50 ms.
BATCH = 200
# The characters of a document that are searched.
MAX_CONTENT = 32_768


def weighted(weight: str, *texts: str) -> str:
    words = ", ".join(texts)
    return f"setweight(to_tsvector('simple', search_words(concat_ws(' ', {words}))), '{weight}')"


DOCUMENT = " || ".join(
    (
        weighted("A", "m.title", "m.filename", "nullif(m.original_filename, m.filename)"),
        weighted(
            "B",
            "array_to_string(m.tags, ' ')",
            "(select string_agg(l.value, ' ') from jsonb_each_text(m.labels) l)",
        ),
        weighted(
            "C",
            "m.description",
            "(select string_agg(v #>> '{}', ' ') from jsonb_path_query(m.metadata,"
            """ 'strict $.** ? (@.type() == "string" || @.type() == "number")') v)""",
        ),
        weighted(
            "D",
            "m.info ->> 'title'",
            "m.info ->> 'author'",
            "m.private_info #>> '{exif,Make}'",
            "m.private_info #>> '{exif,Model}'",
            "s.content",
        ),
    )
)
NAMES = (
    "search_folded(concat_ws(E'\\n', m.filename, nullif(m.original_filename, m.filename),"
    " nullif(m.title, ''), nullif(array_to_string(m.tags, E'\\n'), '')))"
)
CONTAINERS = """
    array(
        select hashtextextended(name, 0) from unnest(array[
            'service:',
            'owner:' || m.org_id || '/' || m.owner_type || ':' || m.owner_id,
            case when m.project_id <> '' then 'project:' || m.project_id end,
            case when m.org_id <> '' then 'organization:' || m.org_id end
        ]) as c (name) where name is not null
    )
"""
WRITE = f"""
    with due as materialized (
        select number, media_id from media_search_due order by number limit %s
    ), locked as materialized (
        -- The row of a new media refers to it. What another transaction has locked waits.
        select m.* from media m where m.media_id in (select media_id from due)
        for key share skip locked
    ), written as (
        insert into media_search as old (media_id, containers, document, names)
        select m.media_id, {CONTAINERS}, {DOCUMENT}, {NAMES}
        from locked m left join media_search s on s.media_id = m.media_id
        on conflict (media_id) do update
        set containers = excluded.containers, document = excluded.document, names = excluded.names
        where (old.containers, old.document, old.names)
            is distinct from (excluded.containers, excluded.document, excluded.names)
    )
    delete from media_search_due d using due
    where d.number = due.number
      and (due.media_id in (select media_id from locked)
           or not exists (select from media m where m.media_id = due.media_id))
"""  # noqa: S608


async def write_due(db: Connection) -> int:
    """Writes the rows of some media that are due. Returns how many changes that were: 0 if none is
    due, or another process is writing."""
    rows = await db.execute("select pg_try_advisory_xact_lock(%s) as mine", (LOCK,))
    row = await rows.fetchone()
    if not row or not row["mine"]:
        return 0
    return (await db.execute(WRITE.encode(), (BATCH,))).rowcount


async def put_content(db: Connection, media_id: str, content: str) -> None:
    """Records the beginning of the text of a document."""
    await db.execute(
        "insert into media_search (media_id, content) values (%s, %s)"
        " on conflict (media_id) do update set content = excluded.content",
        (media_id, content[:MAX_CONTENT]),
    )
    await db.execute("insert into media_search_due (media_id) values (%s)", (media_id,))


async def texts_due(db: Connection, after: str | None, limit: int) -> list[str]:
    """The ids, after this one, of documents whose text was not read."""
    rows = await db.execute(
        "select media_id::text as media_id from texts_due"
        " where %s::uuid is null or media_id > %s order by media_id limit %s",
        (after, after, limit),
    )
    return [row["media_id"] async for row in rows]


async def text_done(db: Connection, media_id: str) -> None:
    await db.execute("delete from texts_due where media_id = %s", (media_id,))
