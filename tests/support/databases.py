"""Databases on the PostgreSQL of a test run."""

import shutil
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

# Several times the size of the databases of all concurrent tests.
MEMORY_BYTES = 4 << 30


def roomy_memory() -> Path | None:
    """A folder in memory, if the machine has enough. Each test has its own database of a thousand
    files, and some disks need a quarter of a second to remove those."""
    shared = Path("/dev/shm")  # noqa: S108 - a uniquely named folder is created in it
    roomy = shared.is_dir() and shutil.disk_usage(shared).free > MEMORY_BYTES
    return shared if roomy else None


def hurry(url: str) -> None:
    """Turns off settings that protect only against power loss, which no test simulates."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("alter system set fsync = off")
        connection.execute("select pg_reload_conf()")


def with_database(url: str, name: str) -> str:
    return urlsplit(url)._replace(path=f"/{name}").geturl()
