"""Becomes another program, confined: `python -m media_service.codecs.sandbox.launch SETUP`."""

import json
import os
import signal
import sys
import time
from pathlib import Path

from media_service.codecs.sandbox.confine import allow_cpu, confine, die_with_parent
from media_service.codecs.sandbox.limits import ResourceLimits

TRIES, PAUSE_SECONDS = 20, 0.05


def main() -> None:
    setup = json.loads(sys.argv[1])
    die_with_parent(setup["parent"])
    if setup["nice"]:
        give_way(setup["nice"])
    limits, program = ResourceLimits(**setup["limits"]), Path(setup["program"])
    confine(limits, Path.cwd(), program)  # what this system lacks, the pools have told
    allow_cpu(limits.cpu_seconds)
    for ignored in (signal.SIGXFSZ, signal.SIGPIPE):  # by Python, and so by what it becomes
        signal.signal(ignored, signal.SIG_DFL)
    os.execv(program, [str(program), *setup["arguments"]])  # noqa: S606 - named by the service


def give_way(nice: int) -> None:
    """Leaves more to others by so many steps. By itself that counts only within a session, which
    is our own: Linux shares processors between sessions first (sched(7), autogroup)."""
    os.nice(nice)
    for _ in range(TRIES):
        try:
            Path("/proc/self/autogroup").write_text(str(nice))
        except BlockingIOError:  # who is not root may do so ten times a second, all together
            time.sleep(PAUSE_SECONDS)
        except OSError:  # there are none
            return
        else:
            return


if __name__ == "__main__":
    main()
