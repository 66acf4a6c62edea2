"""Databases on the PostgreSQL of a test run."""

import shutil
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

# What the databases of all tests that run at the same time have room in, several times over.
MEMORY_BYTES = 4 << 30


def roomy_memory() -> Path | None:
    """A folder in memory, if the machine has one that is large enough. Each test has a database,
    whose thousand files some disks take a quarter of a second to remove."""
    shared = Path("/dev/shm")  # noqa: S108 - the folder in it gets a name of its own
    roomy = shared.is_dir() and shutil.disk_usage(shared).free > MEMORY_BYTES
    return shared if roomy else None


def hurry(url: str) -> None:
    """What is lost so, is lost when a machine loses its power, and no test does that to it."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("alter system set fsync = off")
        connection.execute("select pg_reload_conf()")


def with_database(url: str, name: str) -> str:
    return urlsplit(url)._replace(path=f"/{name}").geturl()
