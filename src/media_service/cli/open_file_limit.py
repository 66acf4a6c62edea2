"""The limit on open files. Every connection needs one, and every upload to a local disk.

Most systems start at 1024, for old programs that use `select`, and let a process raise the limit.
"""

import resource


def allow_open_files() -> None:
    """Raises the soft limit to the hard limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
