"""A program that confines itself and executes another program:
`python -m media_service.codecs.sandbox.launch SETUP`.

Each program starts through it, so it imports as little as possible: no dataclasses, no errors.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from media_service.codecs.sandbox.confine import allow_cpu, confine, die_with_parent

ATTEMPTS, PAUSE_SECONDS = 20, 0.05


def main() -> None:
    setup = json.loads(sys.argv[1])
    die_with_parent(setup["parent"])
    if setup["nice"]:
        lower_priority(setup["nice"])
    program = Path(setup["program"])
    confine(setup["memory_bytes"], setup["file_bytes"], Path.cwd(), program)
    allow_cpu(setup["cpu_seconds"])
    for ignored in (signal.SIGXFSZ, signal.SIGPIPE):  # by Python, and inherited
        signal.signal(ignored, signal.SIG_DFL)
    os.execv(program, [str(program), *setup["arguments"]])  # noqa: S606 - named by the service


def lower_priority(nice: int) -> None:
    """Lowers the scheduling priority of the process and of its autogroup by `nice`. The autogroup
    matters because Linux first divides CPU time between sessions (sched(7)), and this process has
    its own session."""
    os.nice(nice)
    for _ in range(ATTEMPTS):
        try:
            Path("/proc/self/autogroup").write_text(str(nice))
        except BlockingIOError:  # all users but root share ten writes per second
            time.sleep(PAUSE_SECONDS)
        except OSError:  # autogroups are not supported
            return
        else:
            return


if __name__ == "__main__":
    main()
