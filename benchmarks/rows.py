"""A catalog of a million media, as benchmarks and the plans of queries need it: the rows of 50
projects of eleven organizations, without bytes.

`python -m benchmarks.rows URL` fills a migrated database. The same number of media always gives the
same catalog, but for ids and times, which end now.

The frequencies are like those of real libraries: a few words, tags and projects are in many media,
and most of them in few. Most media are photos of cameras that name them IMG_2034.jpg.
"""

import argparse
import random
import time
from collections.abc import Sequence
from pathlib import Path
from string import Template

import psycopg
from psycopg.sql import SQL, Literal

MEDIA = 1_000_000
# The first ones belong to one organization, which has about 90 of 100 media. Each of the tenants is
# an organization with one project and one of 100.
PROJECTS, TENANTS = 40, 10
# Members of the organization: of all its projects through a group, of five and of one directly, and
# of none, but with 1000 single media.
EVERYWHERE, FIVE, ONE, SINGLE = "everywhere", "five", "one", "single"
# Each project has an owner, who also owns its media: the one with most media, and a tenant.
OWNER, TENANT = "owner-1", f"owner-{PROJECTS + TENANTS}"

FOLDER = Path(__file__).parent
SYLLABLES = (
    "ba be bor da del el fa fen gar hal in ja ka lin lo mar mi nor o pa ra ro san ta tor ul ve wen"
)
TAGS = (
    "approved draft raw edit print web people landscape food travel sport business nature animals"
    " architecture black-and-white close-up aerial panorama cover archive client internal press"
)

TABLES = (
    "organizations", "projects", "groups", "group_members", "access_grants", "blobs", "media",
    "media_versions",
)  # fmt: skip
# Secondary indexes are built over all rows at the end, which takes a third of the time.
INDEXES = """
select i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) from pg_index i
where i.indrelid = any(array['media', 'media_versions', 'blobs']::regclass[])
  and not exists (select from pg_constraint where conindid = i.indexrelid)
"""


def words() -> list[str]:
    """The first are in many titles, the last in a few of a million."""
    dice = random.Random(7)
    syllables = SYLLABLES.split()
    rare = {"".join(dice.choices(syllables, k=3)) for _ in range(6000)}
    frequent = (FOLDER / "words.txt").read_text().split()
    return frequent + dice.sample(sorted(rare), len(rare))


def tags() -> list[str]:
    return [*TAGS.split(), *(f"shoot-{number:03}" for number in range(400))]


def one_of(texts: Sequence[str]) -> str:
    """SQL that draws one of the texts, the first ones most often. An element of an array of texts
    is found by counting, but names all have one length."""
    array = SQL("{}::name[]").format(Literal(list(texts))).as_string()
    return f"({array})[1 + floor(power(random(), 3) * {len(texts)})::int]::text"


def statements(media: int) -> list[str]:
    text = Template((FOLDER / "rows.sql").read_text()).substitute(
        main=PROJECTS, tenants=TENANTS, media=media, word=one_of(words()), tag=one_of(tags())
    )
    return text.split(";\n")[:-1]


def fill(url: str, media: int = MEDIA) -> None:
    """Adds the catalog to a migrated database without rows."""
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("set synchronous_commit = off")
        db.execute("set maintenance_work_mem = '256MB'")
        db.execute("select setseed(0.5)")
        indexes = db.execute(INDEXES.encode()).fetchall()
        for name, _ in indexes:
            db.execute(f"drop index {name}".encode())
        for statement in statements(media):
            db.execute(statement.encode())
        for _, definition in indexes:
            db.execute(definition.encode())
        db.execute(f"vacuum analyze {', '.join(TABLES)}".encode())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rows", description=__doc__)
    parser.add_argument("url", help="of a migrated database without rows")
    parser.add_argument("--media", type=int, default=MEDIA)
    arguments = parser.parse_args()
    began = time.monotonic()
    fill(arguments.url, arguments.media)
    print(f"{arguments.media} media in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
