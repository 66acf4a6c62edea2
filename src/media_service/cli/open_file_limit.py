"""The limit on open files. A stream to a local disk needs one, and so does every connection.

Most systems start at 1024, for old programs that use `select`, and let a process raise the limit.
"""

import resource


def allow_open_files() -> None:
    """Raises the soft limit to the hard limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
