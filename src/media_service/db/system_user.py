"""The account of PostgreSQL where this process is root, as whom PostgreSQL refuses to run."""

import pwd
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

NAME = "pgserver"
# Another process may be adding an account.
ATTEMPTS, PAUSE_SECONDS = 50, 0.1


@dataclass(frozen=True)
class Account:
    uid: int
    gid: int


def system_user(folder: Path) -> Account | None:
    """The account that owns the data in the folder, or that of new data, which is created. None if
    that fails."""
    owner = folder.stat()
    if owner.st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    for _ in range(ATTEMPTS):
        try:
            found = pwd.getpwnam(NAME)
        except KeyError:
            command = ["useradd", "--system", "--shell", "/usr/sbin/nologin", NAME]
            with suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(command, check=False, capture_output=True, timeout=10)
            time.sleep(PAUSE_SECONDS)
        else:
            return Account(found.pw_uid, found.pw_gid)
    return None


def enterable(folder: Path) -> None:
    """Lets all users enter the directories above the folder, but not list them."""
    for above in folder.parents:
        mode = above.stat().st_mode
        if not mode & 0o001:
            above.chmod(mode | 0o001)


def readable(folder: Path) -> None:
    """Lets all users read and run the programs in the folder, if a strict umask has closed it."""
    if folder.stat().st_mode & 0o005 == 0o005:
        return
    for path in (folder, *folder.rglob("*")):
        mode = path.stat().st_mode
        path.chmod(mode | (0o055 if mode & 0o100 else 0o044))
